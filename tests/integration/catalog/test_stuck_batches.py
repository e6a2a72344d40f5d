"""What is said of a batch that cannot continue: accounts that are stopped, limits that are spent, held jobs."""

from __future__ import annotations

from decimal import Decimal

import pytest

from models.states import Closure
from recast.hints import hint
from reports.batch import find
from reports.obstacles import needs_person, obstacles, waits_for
from reports.text import paused, stopped, waiting_for_decision
from tests.integration.catalog.desk import Desk, portrait, swap
from tests.words import unsaid
from workers.accounts import admission
from workers.engine.wake import submit_pump

pytest_plugins = ["tests.integration.database"]


def stuck(desk: Desk) -> str | None:
    accounts = desk.runtime.accounts
    return desk.runtime.db(needs_person, desk.runtime.db(find, desk.name), accounts, "USD")


@pytest.mark.parametrize("reason", ["auth", "credit", "budget", "paused"])
def test_a_batch_whose_accounts_are_closed_needs_a_person(desk: Desk, reason: str) -> None:
    desk.enqueue([swap("1")])
    assert stuck(desk) is None
    desk.runtime.db(admission.stop, "zhiqite-main", Closure(reason))
    try:
        assert unsaid(stuck(desk) or "", "zhiqite-main", stopped(Closure(reason), None)) == []
        desk.put("1", "running")
        assert stuck(desk) is None
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_jobs_that_moved_after_the_batch_was_read_are_not_taken_for_paused(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    before = desk.runtime.db(find, desk.name)
    desk.put("1", "running")
    assert desk.runtime.db(needs_person, before, desk.runtime.accounts, "USD") is None


def test_what_an_account_answered_is_told_while_a_batch_waits_for_it(desk: Desk) -> None:
    desk.enqueue([swap("1")])

    def waits() -> list[str]:
        return desk.runtime.db(waits_for, desk.runtime.db(find, desk.name), desk.runtime.accounts)

    assert waits() == []
    desk.runtime.db(admission.stop_for, "zhiqite-main", Closure.THROTTLED, 60.0, "the kitchen is full")
    try:
        (said,) = waits()
        assert unsaid(said, "zhiqite-main", "the kitchen is full") == []
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_what_stops_a_batch_is_said_in_the_words_of_whoever_finds_it(desk: Desk) -> None:
    desk.enqueue([swap("1"), swap("2")])

    def said(*, knows_accounts: bool = True) -> list[str]:
        accounts = desk.runtime.accounts if knows_accounts else None
        return desk.runtime.db(obstacles, desk.runtime.db(find, desk.name), accounts, "USD")

    assert said() == []
    # A worker that is due serves the jobs, until it has been due for long.
    pump = submit_pump("zhiqite-main")
    for seconds, late in ((5, 0), (300, 1)):
        desk.sql(
            "INSERT INTO leases (name, wake_at) VALUES (:pump, now() - :seconds * interval '1 s') "
            "ON CONFLICT (name) DO UPDATE SET wake_at = excluded.wake_at, until = NULL", pump=pump, seconds=seconds,
        )  # fmt: skip
        assert len(said()) == late
    assert unsaid(said()[0], "5 min", hint("up")) == []
    desk.runtime.db(admission.stop, "zhiqite-main", Closure.AUTH)
    try:
        assert said() == [stuck(desk)]
        # Who cannot read the accounts says what the batch itself says.
        assert said(knows_accounts=False) == []
        desk.sql("UPDATE batches SET paused_at = now(), paused_reason = 'person' WHERE name = :batch")
        assert said(knows_accounts=False) == [paused("person")]
        # A job at a provider can end first; one that is held waits for a person all the same.
        desk.put("1", "running")
        assert said() == []
        desk.put("1", "held")
        assert said()[1:] == [f"{waiting_for_decision(1)}: {hint('resolve', batch=desk.name)}"]
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_results_that_cannot_be_saved_say_why(desk: Desk) -> None:
    """A full disk, or a storage that is away, holds what was paid for; nothing else would tell."""
    desk.enqueue([swap("1"), swap("2")])
    for key in ("1", "2"):
        desk.put(key, "saving")

    def said() -> list[str]:
        return desk.runtime.db(obstacles, desk.runtime.db(find, desk.name), desk.runtime.accounts, "USD")

    assert said() == []
    desk.sql(
        "UPDATE jobs SET error = 'No space left on device', not_before = now() + interval '20 s'"
        " WHERE batch_id = (SELECT id FROM batches WHERE name = :batch) AND key = '2'"
    )
    (told,) = said()
    assert unsaid(told, "1", "No space left on device") == []


def test_a_provider_that_asks_to_wait_needs_no_person(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.runtime.db(admission.stop_for, "zhiqite-main", Closure.THROTTLED, 60.0)
    try:
        assert stuck(desk) is None
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_one_open_account_is_enough_unless_the_rows_are_other_accounts(desk: Desk) -> None:
    desk.enqueue([swap("1"), portrait("2")])
    desk.runtime.db(admission.stop, "zhiqite-main", Closure.AUTH)
    try:
        assert stuck(desk) is None
        desk.put("2", "succeeded")
        assert stuck(desk) is not None
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_a_batch_that_spent_its_limit_says_how_to_go_on(desk: Desk) -> None:
    desk.enqueue([swap("1")], max_cost=Decimal("0.01"))
    desk.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE name = :batch")
    assert unsaid(stuck(desk) or "", "--max-cost") == []
