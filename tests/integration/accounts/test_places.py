"""Places in flight: whoever counts by what has begun since never takes more than there are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from models.states import Reason
from workers.accounts import admission
from workers.engine import refetch, saving, store
from workers.operations.resolve import Verdict, held, resolve

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PLACES = 3


def asked_for_again(database: Database) -> None:
    """A result's URL turns out to be dead, and its attempt is asked for another one."""
    (job,) = database.jobs(1, state="saving")
    database.attempt(job, "done", outputs="'[]'", finished_at="clock_timestamp()")
    (claimed,) = database.run(saving.claim, 1)
    database.run(store._write, [store._Saved(claimed, refetch.asked_anew(claimed, Reason.LOST, "gone"))])


def accepted_after_all(database: Database) -> None:
    """A person says that a submission which was given up was taken."""
    (job,) = database.jobs(1, state="held")
    database.attempt(job, "expired")
    database.run(resolve, "main", database.run(held), Verdict.ACCEPTED, "task-7")


@pytest.mark.parametrize("reopen", [asked_for_again, accepted_after_all])
def test_an_attempt_that_is_open_again_takes_its_place(database: Database, reopen: object) -> None:
    # Given an account with one place left, as a pump has counted
    account = database.account(max_in_flight=PLACES)
    for job in database.jobs(PLACES - 1, state="running"):
        database.attempt(job)
    known = database.run(admission.read, "main").count
    assert known.open == PLACES - 1

    # When an attempt that had ended takes it
    reopen(database)  # type: ignore[operator]
    assert database.one("SELECT count(*) FROM attempts WHERE state = 'running'") == PLACES

    # Then the pump's bound knows it, and the pump counts anew
    seen = database.run(admission.read, "main", known=known, room_for=PLACES - 1)
    assert seen.count.open == PLACES
    assert admission.allowance(seen, account, 1).number == 0
