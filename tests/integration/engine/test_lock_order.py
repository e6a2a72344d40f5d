"""Locks are taken in one order by everybody, or two transactions wait for each other in a ring."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from workers.engine import claims, saving, store
from workers.maintenance import sweep

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def as_they_lie(session: Session) -> None:
    """Have rows found in the order in which they lie in the table, as in a large one whose index helps little."""
    session.execute(text("SET LOCAL enable_indexscan = off"))
    session.execute(text("SET LOCAL enable_bitmapscan = off"))


def unhelped(session: Session, work: Callable[[Session], Any]) -> None:
    as_they_lie(session)
    work(session)


def give_back(database: Database) -> Callable[[Session], Any]:
    ids = database.jobs(2)
    return lambda session: claims.unclaim(session, ids)


def save_one_and_postpone_one(database: Database) -> Callable[[Session], Any]:
    for job in database.jobs(2, state="saving"):
        database.attempt(job, "done", outputs="'[]'", finished_at="clock_timestamp()")
    first, second = sorted(database.run(saving.claim, 2), key=lambda item: item.job_id)
    saved = [store._Saved(second, store._succeeded(second, ())), store._Saved(first, store._later(first, "later"))]
    return lambda session: store._write(session, saved)


@pytest.mark.parametrize("prepare", [give_back, save_one_and_postpone_one])
def test_whoever_waits_for_a_job_holds_none_that_comes_after_it(
    database: Database, prepare: Callable[[Database], Callable[[Session], Any]]
) -> None:
    # Given two jobs, of which the first lies behind the second in the table
    database.account()
    work = prepare(database)
    first, second = [row.id for row in database.sql("SELECT id FROM jobs ORDER BY id")]
    database.sql("UPDATE jobs SET priority = 1 WHERE id = :id", id=first)
    with database.sessions.begin() as holder:
        # When the first is held by somebody
        holder.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE"), {"id": first})
        waiting = database.aside(database.run, unhelped, work)
        database.wait_for_a_waiter()
        # Then the second is free as long as the first is waited for
        holder.execute(text("SELECT 1 FROM jobs WHERE id = :id FOR UPDATE NOWAIT"), {"id": second})
    waiting.result(30)


def test_counts_are_verified_in_the_order_of_ids(database: Database) -> None:
    made = [database.batch(f"batch-{number}") for number in range(4)]
    database.sql("UPDATE batches SET label = 'moved behind the others' WHERE id = :id", id=made[0])

    with database.sessions() as session:
        as_they_lie(session)
        assert list(session.execute(sweep._ENDED_BATCHES).scalars()) == made
