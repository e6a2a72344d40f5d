"""Runs of schedules that programs pay for: what is counted is what runs, or nothing is."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from desk import schedule_runs, tokens
from desk.actors import Actor
from desk.schedule_runs import NotRunError
from models.people import Role
from models.schedules import Overlap
from tests.words import names
from workers.jobs.run_options import RunOptions
from workers.schedules import service as schedules
from workers.schedules.cron import CronSchedule
from workers.schedules.service import Agreement

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

SHOP = Actor("token shop", Role.OPERATOR, "api")


def agreed(limit: str, overlap: Overlap = Overlap.SKIP) -> Agreement:
    options = RunOptions(max_cost=Decimal(limit))
    return Agreement("nightly", "c.csv", CronSchedule("0 3 * * *"), overlap=overlap, options=options)


def counted(database: Database) -> Any:
    return database.one("SELECT spent FROM tokens")


def states(database: Database) -> list[str]:
    return [row.state for row in database.sql("SELECT state FROM schedule_runs ORDER BY planned_at")]


@pytest.fixture
def ask(database: Database, make_runtime: RuntimeFactory) -> Callable[[], object]:
    """Runs the schedule for a program that may spend 10 in a day."""
    database.run(tokens.add, Actor("root", Role.OPERATOR, "command"), "shop", Role.OPERATOR, Decimal(10))
    database.run(schedules.add, agreed("1.50"))
    return partial(schedule_runs.run, make_runtime(), SHOP, database.one("SELECT id FROM tokens"), "nightly")


def test_the_limit_that_is_counted_is_that_of_the_run(
    database: Database, ask: Callable[[], object], messages: Messages
) -> None:
    with database.sessions.begin() as session:
        schedules.add(session, agreed("2.50"), replace=True)
        asking = database.aside(ask)
        database.wait_for_a_waiter()
    asking.result()
    assert (counted(database), states(database), len(messages)) == (Decimal("2.50"), ["due"], 1)
    # Replaced by the same one, it is what was asked for; by a dearer one, it is not begun.
    database.run(schedules.add, agreed("2.50", Overlap.QUEUE), replace=True)
    assert states(database) == ["due"]
    database.run(schedules.add, agreed("9", Overlap.QUEUE), replace=True)
    assert states(database) == ["skipped"]


def test_what_would_be_skipped_is_not_counted(database: Database, ask: Callable[[], object]) -> None:
    ask()
    with pytest.raises(NotRunError, match=names("nightly", "overlap", "skip")):
        ask()
    assert (counted(database), states(database)) == (Decimal("1.50"), ["due"])


def test_two_requests_of_a_second_are_not_counted_for_one_run(database: Database, ask: Callable[[], object]) -> None:
    database.sql("""
        INSERT INTO schedule_runs (schedule, planned_at, overlap, state)
        SELECT 'nightly', date_trunc('second', now()) + x * interval '1 s', 'skip', 'done' FROM generate_series(0, 60) x
    """)
    with pytest.raises(NotRunError, match=names("nightly", "second")):
        ask()
    assert counted(database) == 0
    assert set(states(database)) == {"done"}


def test_a_run_that_could_not_be_written_is_not_counted(
    database: Database, ask: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(schedules, "run_now", broken)
    with pytest.raises(RuntimeError):
        ask()
    assert (counted(database), states(database)) == (0, [])
