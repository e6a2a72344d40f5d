"""The tasks beside the pumps: completion notices, the sweep, schedules, retention and revocation."""

from __future__ import annotations

from typing import Any

from celery.worker.control import control_command
from celery.worker.control import revoke as celery_revoke
from celery.worker.control import revoke_by_stamped_headers as celery_revoke_by_stamps

from catalog.fire import fire as fire_run
from desk.redo_flagged import redo_flagged
from tasks.base import RecastTask
from workers.engine.runtime import runtime
from workers.maintenance.sweep import sweep as sweep_up
from workers.messaging.app import app
from workers.operations.credential_checks import perform
from workers.operations.prune import prune as prune_jobs
from workers.operations.prune import prune_guests
from workers.producers.completion import announce_jobs
from workers.producers.revoke import revoke_stamped, revoke_tasks
from workers.schedules.tick import tick as look_at_schedules


@app.task(bind=True, base=RecastTask, name="announce")
def announce(self: Any, job_ids: list[str]) -> None:
    """Send the completion notices of these jobs."""
    announce_jobs(runtime(), job_ids, self.request.hostname)


# The sweep and the tick run every few seconds. In Flower, which keeps a limited number, they would push out the jobs.
@app.task(base=RecastTask, name="sweep", send_events=False)
def sweep() -> None:
    """Continue what a crash or a lost message left behind, and redo what is flagged where that is wanted."""
    sweep_up(runtime())
    redo_flagged(runtime())


@app.task(base=RecastTask, name="tick", send_events=False)
def tick() -> None:
    """Create, start and end the runs of schedules."""
    look_at_schedules(runtime())


@app.task(base=RecastTask, name="fire")
def fire(run_id: int) -> None:
    """Start a schedule's run: read its catalog, and enqueue it."""
    fire_run(runtime(), run_id)


@app.task(base=RecastTask, name="prune")
def prune() -> None:
    """Remove the pictures of batches whose `--keep` time has passed."""
    prune_jobs(runtime())
    runtime().db(prune_guests)


@app.task(base=RecastTask, name="check_credentials")
def check_credentials(account: str) -> None:
    """Check an account's credentials, for a person who asked for it on a page."""
    perform(runtime(), account)


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: str | list[str], terminate: bool = False, **_: Any) -> Any:
    """Celery's `revoke`, which stops tasks that have not begun, and ours, which reaches their jobs."""
    ids = [task_id] if isinstance(task_id, str) else list(task_id)
    answer = celery_revoke(state, ids, terminate=False)
    revoke_tasks(runtime(), ids, terminate=terminate)
    return answer


@control_command(variadic="headers", signature="[key1=value1 [key2=value2 [... [keyN=valueN]]]]")
def revoke_by_stamped_headers(
    state: Any, headers: list[str] | dict[str, Any], terminate: bool = False, **_: Any
) -> Any:
    """Celery's revocation by stamps, and ours, which reaches the jobs of tasks that have those stamps."""
    named = dict(each.split("=", 1) for each in headers) if isinstance(headers, list) else dict(headers)
    answer = celery_revoke_by_stamps(state, named, terminate=False)
    revoke_stamped(runtime(), named, terminate=terminate)
    return answer
