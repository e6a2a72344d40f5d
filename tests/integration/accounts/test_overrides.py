"""Limits, prices and budgets change while the workers run; what is not allowed changes nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from models.states import Closure
from tests.words import names
from workers.accounts import admission, overrides
from workers.config.account_values import AccountsError
from workers.engine import claims

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

PRICED = {"prices": {"swap": "0.02 USD", "swap_v2": "0.03 USD", "swap_faces": "0.04 USD"}}


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime(main={**PRICED, "budget": {"day": "1 USD"}, "max_in_flight": 2}, other=PRICED)


def change(runtime: Runtime, *words: str) -> None:
    runtime.db(overrides.change, runtime.accounts, "main", overrides.parse(words), "ann@desk")


def test_a_change_holds_at_the_next_submission_and_is_dropped_again(database: Database, runtime: Runtime) -> None:
    account = runtime.account("main")
    database.jobs(6)
    database.start(account, 6)
    assert database.one("SELECT count(*) FROM attempts") == 2
    change(runtime, "max_in_flight=5", "rate=60/min")
    database.sql("UPDATE accounts SET rate_tokens = 10, rate_at = now()")
    database.start(account, 6)
    assert database.one("SELECT count(*) FROM attempts") == 3, "by the new rate"
    change(runtime, "rate=none")
    database.start(account, 6)
    assert database.one("SELECT count(*) FROM attempts") == 5, "by the new limit"

    seen = database.run(admission.read, "main").overrides
    assert overrides.described(seen) == "rate=none, max_in_flight=5"
    (row,) = database.sql("SELECT overridden_by, overridden_at FROM accounts WHERE name = 'main'")
    assert row.overridden_by == "ann@desk"
    assert row.overridden_at is not None
    assert set(runtime.db(overrides.drop, "main")) == {"max_in_flight", "rate"}
    (row,) = database.sql("SELECT overrides, overridden_by, overridden_at FROM accounts WHERE name = 'main'")
    assert tuple(row) == ({}, None, None)


def test_a_part_of_the_prices_or_the_budget_stands_beside_the_files(database: Database, runtime: Runtime) -> None:
    change(runtime, "prices.swap=0.10 USD/picture", "budget.month=20 USD")
    change(runtime, "budget.day=none")
    account = runtime.account("main").with_overrides(database.run(admission.read, "main").overrides)

    assert {name: price.amount for name, price in account.prices.items()} == {
        "swap": Decimal("0.10"), "swap_v2": Decimal("0.03"), "swap_faces": Decimal("0.04")
    }  # fmt: skip
    assert {name: price.amount for name, price in account.budget.items()} == {"month": Decimal(20)}


def test_a_raised_budget_starts_the_account_that_it_had_stopped(database: Database, runtime: Runtime) -> None:
    account = runtime.account("main")
    database.jobs(2)
    database.start(account, 1, "0.80")
    database.start(account, 1, "0.80")
    assert database.run(admission.read, "main").closed_reason == "budget"
    assert database.run(claims.claim, account, 0) == []
    change(runtime, "budget.day=20 USD")

    assert database.run(admission.read, "main").closed_for is None
    database.run(admission.stop, "main", Closure.CREDIT)
    change(runtime, "budget.day=30 USD")
    assert database.run(admission.read, "main").closed_reason == "credit", "that is another matter"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("rate", names("rate", "SETTING=VALUE", "rate=30/min")),
        ("rate=", names("rate=", "SETTING=VALUE")),
        ("rate=fast", names("main.rate", "fast", "60/min")),
        ("max_in_flight=0", names("main.max_in_flight", "'0'", "1")),
        ("max_in_flight=none", names("main.max_in_flight", "None", "integer")),
        ("max_in_flight=many", names("main.max_in_flight", "'many'", "integer")),
        ("poll_every=soon", names("main.poll_every", "soon")),
        (
            "base_url=http://x",
            names("base_url", "max_in_flight", "rate", "prices.NAME", "budget"),
        ),
        ("submit_timeout=99", names("submit_timeout")),
        ("budget=5 USD", names("budget", "budget.day", "prices.swap")),
        ("rate.day=5/s", names("rate.day", "rate")),
        ("budget.week=5 USD", names("day", "month", "main.budget.week")),
        ("prices.swop=1 USD", names("main", "swop", "swap", "swap_v2", "swap_faces")),
        ("prices.swap=none", names("main", "budget", "prices", "swap")),
        ("budget.day=5 EUR", names("main", "EUR", "USD")),
    ],
)
def test_what_is_not_allowed_changes_nothing(database: Database, runtime: Runtime, word: str, message: str) -> None:
    with pytest.raises(AccountsError, match=message):
        change(runtime, "max_in_flight=7", word)

    assert database.run(admission.read, "main").overrides == {}


def test_a_deployment_keeps_its_one_currency(database: Database, make_runtime: RuntimeFactory) -> None:
    runtime = make_runtime(main={}, other=PRICED)
    with pytest.raises(AccountsError, match=names("main", "EUR", "USD")):
        change(runtime, "prices.swap=1 EUR")


def test_an_account_that_nobody_has_entered_yet_is_open(database: Database, runtime: Runtime) -> None:
    seen = database.run(admission.read, "of tomorrow")
    assert (seen.closed_reason, seen.failures, seen.overrides, seen.count.open) == (None, 0, {}, 0)
    assert database.run(admission.latencies, "of tomorrow").as_document() == {}
