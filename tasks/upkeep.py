"""The tasks beside the pumps: completion notices, the sweep, schedules, retention and revocation."""

from __future__ import annotations

from typing import Any

from celery.worker.control import control_command
from celery.worker.control import revoke as celery_revoke

from catalog.fire import fire as fire_run
from tasks.base import RecastTask
from workers.engine.runtime import runtime
from workers.maintenance.sweep import sweep as sweep_up
from workers.messaging.app import app
from workers.operations.prune import prune as prune_jobs
from workers.producers.completion import announce_jobs
from workers.producers.revoke import revoke_tasks
from workers.schedules.tick import tick as look_at_schedules


@app.task(bind=True, base=RecastTask, name="announce")
def announce(self: Any, job_ids: list[str]) -> None:
    """Send the completion notices of these jobs."""
    announce_jobs(runtime(), job_ids, self.request.hostname)


#: Tasks that run every few seconds are not shown in Flower, which keeps a limited number: they would push out the jobs.
_UNSEEN = {"base": RecastTask, "send_events": False}


@app.task(name="sweep", **_UNSEEN)
def sweep() -> None:
    """Continue what a crash or a lost message left behind."""
    sweep_up(runtime())


@app.task(name="tick", **_UNSEEN)
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


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: str | list[str], terminate: bool = False, **_: Any) -> Any:
    """Celery's `revoke`, which stops tasks that have not begun, and ours, which reaches their jobs."""
    ids = [task_id] if isinstance(task_id, str) else list(task_id)
    answer = celery_revoke(state, ids, terminate=False)
    revoke_tasks(runtime(), ids, terminate=terminate)
    return answer
