"""Runs whose workers are killed, and runs that two workers begin: each is enqueued once, or given up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from catalog import fire as fire_module
from tests.integration.schedules.nightly import come_due, run_of
from tests.words import unsaid
from workers.schedules import runs
from workers.schedules.tick import tick

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]


def test_a_worker_killed_while_it_reads_loses_and_doubles_nothing(
    database: Database, runtime: Runtime, add: Callable[..., str], messages: Messages
) -> None:
    add()
    run_id = come_due(database)
    assert database.run(runs.claim, run_id) is not None  # and then it is killed
    messages.clear()
    tick(runtime)
    fire_module.fire(runtime, run_id)
    assert (messages, run_of(database, run_id).state) == ([], "due"), "another waits until the claim has run out"

    database.sql("UPDATE schedule_runs SET claimed_until = now() - interval '1 second'")
    tick(runtime)
    assert [args for _, args, _ in messages] == [(run_id,)]
    fire_module.fire(runtime, run_id)
    fire_module.fire(runtime, run_id)
    assert run_of(database, run_id).state == "running"
    assert database.one("SELECT count(*) FROM jobs") == 2


def test_a_worker_killed_while_it_enqueues_has_done_nothing(
    database: Database, runtime: Runtime, add: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    run_id = come_due(database)

    def die(session: Session, run: int, batch: int) -> None:
        runs.begin(session, run, batch)
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(fire_module, "begin", die)
        with pytest.raises(SystemExit):
            fire_module.fire(runtime, run_id)
    assert run_of(database, run_id).state == "due"
    assert database.sql("SELECT 1 FROM jobs") == []

    database.sql("UPDATE schedule_runs SET claimed_until = NULL")
    fire_module.fire(runtime, run_id)
    assert run_of(database, run_id).enqueued == {"new": 2}


def test_a_run_that_two_workers_have_read_is_enqueued_once(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add()
    run_id = come_due(database)
    claimed = []
    for _ in range(3):
        claimed.append(database.run(runs.claim, run_id))
        database.sql("UPDATE schedule_runs SET claimed_until = NULL")

    def read(found: runs.RunClaim | None) -> str:
        assert found is not None
        try:
            return f"{fire_module._enqueue(runtime, found).new} new"
        except runs.NotDueError:
            return "too late"

    with ThreadPoolExecutor(3) as workers:
        assert sorted(workers.map(read, claimed)) == ["2 new", "too late", "too late"]


def test_a_run_that_kills_its_workers_is_given_up(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    add()
    run_id = come_due(database)
    for _ in range(runs.MAX_TRIES):
        assert database.run(runs.claim, run_id) is not None
        database.sql("UPDATE schedule_runs SET claimed_until = NULL")

    assert database.run(runs.claim, run_id) is None
    run = run_of(database, run_id)
    assert run.state == "failed"
    assert unsaid(run.note, "logs") == []
