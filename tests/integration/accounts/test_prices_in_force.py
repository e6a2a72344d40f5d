"""Prices that were changed while workers run are those that plans, quotes, redos, pilots and retries show."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalog.enqueue import enqueue
from catalog.errors import CatalogError
from catalog.intake import take_in
from catalog.plan import plan
from desk.prices import require_prices
from desk.redo_plan import Change, Terms
from desk.redo_plan import plan as redo_plan
from recast.errors import InvalidJobError
from reports.batch import find
from reports.pilot import pilot_of
from tests.unit.catalog import catalogs
from tests.words import names
from workers.accounts import overrides
from workers.jobs.filters import EVERY, Filter, ids_of
from workers.jobs.routing import Reach
from workers.jobs.run_options import RunOptions
from workers.operations.costs import at_most

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

REACH = Reach(public_url=True, presigned=False)
DEAR = {"prices": {"swap": "0.10 USD"}}


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime(main={"prices": {"swap": "0.02 USD"}})


def change(runtime: Runtime, changes: dict[str, Any]) -> None:
    runtime.db(overrides.change, runtime.accounts, "main", changes, "Olga")


def test_every_sum_that_is_shown_is_of_the_prices_in_force(
    database: Database, runtime: Runtime, tmp_path: Path
) -> None:
    catalogs.picture(tmp_path / "a.png")
    catalogs.picture(tmp_path / "b.png", side=20)
    rows = [catalogs.swap(str(each), source="a.png", target="b.png") for each in range(4)]
    with take_in(catalogs.write_csv(tmp_path / "spring.csv", rows), runtime.accounts, REACH) as intake:
        change(runtime, DEAR)  # after the rows were checked, as somebody may
        found = plan(runtime, intake, RunOptions(max_cost=Decimal("0.35")))
        assert found.limit is not None
        assert (found.cheapest, found.at_most, found.limit.rows) == (Decimal("0.40"), Decimal("0.80"), 3)
        done = enqueue(runtime, intake, RunOptions(pilot="1"))
    assert (done.cost, done.at_most, done.sent_at_most) == (Decimal("0.40"), Decimal("0.80"), Decimal("0.20"))
    pilot = runtime.db(pilot_of, runtime.db(find, "spring").id, runtime.accounts, 2)
    assert pilot is not None
    assert (pilot.rest.low, pilot.rest.at_most) == (Decimal("0.30"), Decimal("0.60"))
    (line,) = runtime.db(at_most, EVERY, runtime.accounts, 2)
    assert line.cost == Decimal("0.80")
    database.sql("UPDATE jobs SET state = 'succeeded', lane = replace(lane, '!', '')")
    terms = Terms.of(runtime.settings, runtime.accounts, runtime.reach)
    again = runtime.db(redo_plan, runtime.db(ids_of, Filter(batch="spring")), Change(), terms)
    assert (again.cost, again.at_most) == (Decimal("0.40"), Decimal("0.80"))


def test_a_price_that_was_taken_away_is_not_the_files_any_more(runtime: Runtime, tmp_path: Path) -> None:
    catalogs.picture(tmp_path / "a.png")
    path = catalogs.write_csv(tmp_path / "spring.csv", [catalogs.swap("1", source="a.png", target="a.png")])
    with take_in(path, runtime.accounts, REACH) as intake:
        change(runtime, {"prices": {"swap": None}})
        with pytest.raises(CatalogError):
            enqueue(runtime, intake, RunOptions(max_cost=Decimal(1)))
        assert plan(runtime, intake).unpriced == {"main: zhiqite.swap"}
        runtime.db(overrides.drop, "main")
        assert plan(runtime, intake).dearest == Decimal("0.02")


def test_what_has_no_price_now_is_not_quoted_and_what_has_one_now_is(make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main={"prices": {"swap": "0.02 USD"}}, other={"prices": {}})
    priced, unpriced = "main@zhiqite.swap", "other@zhiqite.swap"
    assert require_prices(runtime, [priced])["main"].prices
    with pytest.raises(InvalidJobError, match=names("other")):
        require_prices(runtime, [unpriced])
    runtime.db(overrides.change, runtime.accounts, "other", DEAR, "Olga")
    change(runtime, {"prices": {"swap": None}})
    assert require_prices(runtime, [unpriced])["other"].prices
    with pytest.raises(InvalidJobError, match=names("main")) as caught:
        require_prices(runtime, [priced], "operation")
    assert caught.value.field == "operation"
