"""Events of webhooks on a real database: what is written with a job's end, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.states import JobState, Reason
from tests.integration.webhooks.hooks import end, rows, webhook
from workers.engine.runtime import Runtime
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs
from workers.webhooks import deliver

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def test_nobody_listening_costs_nothing(database: Database) -> None:
    batch = database.batch()
    ids = database.jobs(2, batch=batch, state="running")

    moved = database.run(move_jobs, [JobMove(job_id, JobState.FAILED) for job_id in ids])

    assert not any(move.heard for move in moved)
    assert rows(database) == []


def test_an_event_is_written_with_the_end_or_not_at_all(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/")
    (job,) = database.jobs(state="saving")

    def broken(session: Session) -> None:
        move_jobs(session, [JobMove(job, JobState.SUCCEEDED)])
        raise RuntimeError("the power goes")

    with pytest.raises(RuntimeError):
        database.run(broken)
    assert rows(database) == []

    end(database, job)
    end(database, job)  # it has ended already: no move, no event
    (row,) = rows(database)
    assert (row.event, row.data["job"], row.data["state"]) == ("job.succeeded", job, "succeeded")


def test_only_what_was_asked_for(database: Database, runtime: Runtime) -> None:
    everything = webhook(database, runtime.settings, "https://example.com/all")
    failures = webhook(database, runtime.settings, "https://example.com/bad", "job.failed")
    spring = webhook(database, runtime.settings, "https://example.com/spring", batches=["spring"])
    off = webhook(database, runtime.settings, "https://example.com/off")
    database.run(deliver.disable, off, "a person")
    (single,) = database.jobs(state="saving")
    (good,) = database.jobs(batch=database.batch("spring"), state="saving")
    (bad,) = database.jobs(batch=database.batch("autumn"), state="running")

    end(database, single, good)
    end(database, bad, state=JobState.FAILED, reason=Reason.OUTAGE, error="gone")

    told = {(row.webhook_id, row.event, row.data.get("job") or row.data["batch"]) for row in rows(database)}
    assert told == {
        (everything, "job.succeeded", single), (everything, "job.succeeded", good), (everything, "job.failed", bad),
        (everything, "batch.done", "spring"), (everything, "batch.done", "autumn"),
        (failures, "job.failed", bad),
        (spring, "job.succeeded", good), (spring, "batch.done", "spring"),
    }  # fmt: skip
    (failed,) = [row for row in rows(database) if row.webhook_id == failures]
    assert failed.data["reason"] == "outage"
    assert failed.data["error"] == "gone"
    assert (failed.data["results"], failed.data["cost"]) == ([], "0")


def test_a_batch_is_done_once_for_each_time_it_was_open(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/", "batch.done")
    ids = database.jobs(3, batch=database.batch(), state="running")

    end(database, ids[0], state=JobState.FAILED)
    assert rows(database) == []
    end(database, *ids[1:], state=JobState.HELD)  # a person is needed, a worker is not
    (done,) = rows(database)
    assert done.data["counts"] == {"succeeded": 0, "failed": 1, "rejected": 0, "canceled": 0, "held": 2}

    # A held job is given up: no job was opened for that.
    end(database, ids[1], state=JobState.FAILED)
    assert len(rows(database)) == 1
    # A late answer opens the batch again, and closes it again.
    end(database, ids[0], state=JobState.SAVING)
    end(database, ids[0])
    assert [row.data["counts"]["succeeded"] for row in rows(database)] == [0, 1]


def test_of_many_transactions_at_once_one_ends_the_batch(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/", "batch.done")
    ids = database.jobs(20, batch=database.batch(), state="running")

    database.together(
        [lambda session, job_id=job_id: move_jobs(session, [JobMove(job_id, JobState.FAILED)]) for job_id in ids]  # type: ignore[misc]
    )

    assert [row.data["counts"]["failed"] for row in rows(database)] == [20]


def test_single_jobs_have_no_batch(database: Database, runtime: Runtime) -> None:
    webhook(database, runtime.settings, "https://example.com/")
    end(database, *database.jobs(state="saving"))

    assert [(row.event, row.data["batch"]) for row in rows(database)] == [("job.succeeded", None)]
    assert SINGLES == 0
