"""Webhooks of tests: one is added, jobs end, and what is due is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.states import JobState
from workers.config.settings import Settings
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs
from workers.webhooks.deliver import DeliverPump
from workers.webhooks.messages import make_secret, seal

if TYPE_CHECKING:
    from tests.integration.database import Database

SECRET = make_secret()
SECRET_KEY = "test-secret-key-of-32-characters"  # that of the runtimes


def webhook(
    database: Database, settings: Settings, url: str, *events: str, batches: list[str] | None = None, **more: Any
) -> int:
    """A webhook with `SECRET`."""
    made: int = database.one(
        "INSERT INTO webhooks (url, events, batches, secrets) VALUES (:url, :events, :batches, :secrets) RETURNING id",
        url=url,
        events=list(events or ["job.succeeded", "job.failed", "batch.done"]),
        batches=batches or [],
        secrets=seal(settings, more.get("secrets", [(SECRET, None)])),
    )
    return made


def end(database: Database, *ids: str, state: JobState = JobState.SUCCEEDED, **more: Any) -> None:
    database.run(move_jobs, [JobMove(job_id, state, **more) for job_id in ids])


def make_due(database: Database) -> None:
    """Let the pause pass."""
    database.sql("UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at IS NOT NULL")


def slice_of(runtime: Runtime) -> None:
    run(runtime, DeliverPump(runtime), None)


def rows(database: Database) -> list[Any]:
    return database.sql("SELECT * FROM deliveries ORDER BY created_at, id")
