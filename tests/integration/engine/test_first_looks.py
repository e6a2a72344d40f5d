"""The first looks at a crowd that was sent before anything was known: planned when the first results are in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from tests.http import Request, Response, mock_client
from workers.accounts.latency import LESSONS
from workers.engine import first_looks
from workers.engine.first_looks import plan_first_looks
from workers.engine.poll import PollPump
from workers.engine.runner import run
from workers.http.client import HttpClient
from workers.http.ssrf import Guard

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

OPERATION = "zhiqite.swap"
LATER = "clock_timestamp() + interval '60 s'"


def plan(session: Session) -> bool:
    return plan_first_looks(session, "main", OPERATION, first=5.0, called=9.0, spread=0.1)


def waiting(database: Database, number: int = 1, **columns: str) -> list[str]:
    """Ids of running attempts that were accepted just now, and whose first look is a minute away."""
    row: dict[str, Any] = {"accepted_at": "clock_timestamp()", "next_poll_at": LATER} | columns
    return [str(database.attempt(job, **row)) for job in database.jobs(number, state="running")]


def looks(database: Database) -> dict[str, float]:
    """Seconds from acceptance until each attempt is looked at."""
    rows = database.sql("SELECT id, extract(epoch FROM next_poll_at - accepted_at)::float8 AS look FROM attempts")
    return {str(row.id): row.look for row in rows}


def test_only_those_without_a_look_that_would_come_too_late_are_planned(database: Database) -> None:
    (late,) = waiting(database)
    (called,) = waiting(database, callback_token="'token'")
    others = [
        *waiting(database, operation="'zhiqite.other'"),
        *waiting(database, polls="1"),
        *waiting(database, next_poll_at="clock_timestamp() + interval '2 s'"),
        *waiting(database, next_poll_at="clock_timestamp() - interval '1 s'"),
    ]
    (job,) = database.jobs(1, state="running")
    lost = str(database.attempt(job, "unknown", next_poll_at=LATER))
    before = looks(database)

    assert database.run(plan)
    after = looks(database)
    assert 5.0 <= after[late] <= 5.5
    assert 9.0 <= after[called] <= 9.9
    assert {each: after[each] for each in (*others, lost)} == {each: before[each] for each in (*others, lost)}


def test_a_large_crowd_is_planned_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_looks, "AT_ONCE", 2)
    waiting(database, 5)
    assert [database.run(plan) for _ in range(3)] == [False, False, True]
    assert all(5.0 <= look <= 5.5 for look in looks(database).values())


def test_what_others_hold_is_left_to_them(database: Database) -> None:
    held, free = waiting(database, 2)
    with database.sessions.begin() as other:
        other.execute(text("SELECT 1 FROM attempts WHERE id = cast(:id AS uuid) FOR UPDATE"), {"id": held})
        assert database.run(plan)
    after = looks(database)
    assert after[held] > 50
    assert after[free] <= 5.5


def test_the_first_results_plan_the_looks_at_all_others(
    database: Database, make_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(_: Request) -> Response:
        return Response(200, json={"code": "200", "msg": "no face", "data": {"status": 2}})

    def build_client(guard: Guard, *, max_connections: int) -> HttpClient:
        assert max_connections > 0
        return mock_client(answer, guard)

    monkeypatch.setattr("workers.engine.runtime.build_client", build_client)
    # Given scouts whose results are there, and a crowd that waits
    for _ in range(LESSONS):
        waiting(
            database, accepted_at="clock_timestamp() - interval '9 s'", next_poll_at="clock_timestamp()", polls="3",
            pending_at="clock_timestamp() - interval '1 s'",
        )  # fmt: skip
    crowd = waiting(database, 3)

    runtime = make_runtime({"slice_seconds": 2.0})
    run(runtime, PollPump(runtime, "main"), None)

    after = looks(database)
    assert all(7.5 < after[each] < 11.0 for each in crowd), after
    assert database.one("SELECT count(*) FROM attempts WHERE state = 'done'") == LESSONS
