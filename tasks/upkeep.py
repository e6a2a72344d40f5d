"""The tasks around the pumps: announcing ends, sweeping up, and revoking."""

from __future__ import annotations

from typing import Any

from celery.worker.control import control_command
from celery.worker.control import revoke as celery_revoke

from tasks.base import RecastTask
from workers.announce import announce_jobs
from workers.app import app
from workers.revoke import revoke_tasks
from workers.runtime import runtime
from workers.sweep import sweep as sweep_up


@app.task(bind=True, base=RecastTask, name="announce")
def announce(self: Any, job_ids: list[str]) -> None:
    """Tell waiting producers how these jobs ended."""
    announce_jobs(runtime(), job_ids, self.request.hostname)


@app.task(base=RecastTask, name="sweep")
def sweep() -> None:
    """Set going again what was left behind."""
    sweep_up(runtime())


@control_command(variadic="task_id", signature="[id1 [id2 [... [idN]]]]")
def revoke(state: Any, task_id: str | list[str], terminate: bool = False, **_: Any) -> Any:
    """Celery's `revoke`, which stops tasks that have not begun, and ours, which reaches their jobs."""
    ids = [task_id] if isinstance(task_id, str) else list(task_id)
    answer = celery_revoke(state, ids, terminate=False)
    revoke_tasks(runtime(), ids, terminate=terminate)
    return answer
