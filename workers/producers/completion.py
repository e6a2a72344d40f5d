"""Completion notices to waiting producers: what Celery's tracer does after a task's body, in its order.

Links, then the chain, then the result (and with it the chord), then the task events. A notice may be repeated when
a worker dies in between; everything it sends has fixed ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from traceback import format_exception_only
from typing import Any

import structlog
from celery import group
from celery.app.task import Context
from celery.canvas import maybe_signature
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import finished_attempt
from models.states import ANNOUNCED_JOB_STATES, JobState, Reason
from recast.errors import JobError, JobFailedError, JobRejectedError
from recast.money import Money
from workers.engine.runtime import Runtime
from workers.failpoints import hold
from workers.messaging.app import app
from workers.producers.canvas import rebuild

EVENT_CHARS = 500  # of arguments and results shown by monitors

log = structlog.get_logger()

_TAKE = text("""
    SELECT a.task_id, a.canvas, a.job_id, j.kind, j.state, j.reason, j.error,
        extract(epoch FROM j.finished_at - j.created_at)::float8 AS seconds
    FROM announcements a JOIN jobs j ON j.id = a.job_id
    WHERE a.job_id = :job_id AND a.announced_at IS NULL AND j.state = ANY(:states)
    ORDER BY a.task_id LIMIT 1 FOR UPDATE OF a SKIP LOCKED
""")
_MARK = text("UPDATE announcements SET announced_at = clock_timestamp() WHERE task_id = :id")
_ATTEMPT = text(finished_attempt(":id", "id, account, operation, cost, accepted_at, finished_at"))
_RESULTS = text("""
    SELECT index, key, thumbnail_key, sha256, original_sha256, size, media_type, width, height, facts
    FROM results WHERE attempt_id = :id ORDER BY index
""")


@dataclass(frozen=True, slots=True)
class _Ended:
    task_id: str
    canvas: str
    job_id: str
    kind: str
    state: str
    reason: str | None
    error: str | None
    seconds: float


def announce_jobs(runtime: Runtime, job_ids: Sequence[str], hostname: str) -> int:
    """Announce the ends of these jobs to all waiting tasks; returns how many notices were sent."""
    made = 0
    for job_id in job_ids:
        while runtime.db(_announce_one, runtime, job_id, hostname):
            made += 1
    return made


def _announce_one(session: Session, runtime: Runtime, job_id: str, hostname: str) -> bool:
    row = session.execute(_TAKE, {"job_id": job_id, "states": [str(state) for state in ANNOUNCED_JOB_STATES]}).first()
    if row is None:
        return False
    ended = _Ended(**row._mapping)
    request = rebuild(ended.canvas)
    if ended.state == JobState.SUCCEEDED:
        _succeed(ended, request, describe(session, runtime, job_id), hostname)
    elif ended.state == JobState.CANCELED:
        app.backend.mark_as_revoked(ended.task_id, ended.error or "canceled", request=request)
        _event("task-revoked", ended, hostname, terminated=False, signum=None, expired=ended.reason == Reason.EXPIRED)
    else:
        _fail(ended, request, hostname)
    hold("announced")
    session.execute(_MARK, {"id": ended.task_id})
    log.info("job_announced", job=job_id, task=ended.task_id, state=ended.state)
    return True


def _succeed(ended: _Ended, request: Context, value: dict[str, Any], hostname: str) -> None:
    passed_on = {"parent_id": ended.task_id, "root_id": request.root_id or ended.task_id}
    callbacks = [maybe_signature(signature, app=app) for signature in request.callbacks or ()]
    groups = [signature for signature in callbacks if isinstance(signature, group)]
    sent = [signature.apply_async((value,), **passed_on) for signature in groups]
    sent += [signature.apply_async((value,), **passed_on) for signature in callbacks if signature not in groups]
    if request.chain:
        following = maybe_signature(request.chain[-1], app=app)
        sent.append(following.apply_async((value,), chain=request.chain[:-1], **passed_on))
    request.children.extend(sent)
    app.backend.mark_as_done(ended.task_id, value, request=request)
    _event("task-succeeded", ended, hostname, result=repr(value)[:EVENT_CHARS])


def _fail(ended: _Ended, request: Context, hostname: str) -> None:
    error_class = JobRejectedError if ended.state == JobState.REJECTED else JobFailedError
    error: JobError = error_class(ended.reason or "failed", ended.error or "no reason was recorded", ended.job_id)
    # No Python code failed; who looks for a traceback finds the error.
    told = "".join(format_exception_only(error))
    app.backend.mark_as_failure(ended.task_id, error, traceback=told, request=request)
    _event("task-failed", ended, hostname, exception=repr(error)[:EVENT_CHARS], traceback=told[:EVENT_CHARS])


def _event(kind: str, ended: _Ended, hostname: str, **fields: Any) -> None:
    with app.events.default_dispatcher(hostname=hostname) as dispatcher:
        dispatcher.send(kind, uuid=ended.task_id, runtime=round(ended.seconds, 3), **fields)


def describe(session: Session, runtime: Runtime, job_id: str) -> dict[str, Any]:
    """What a producer gets for a job that succeeded: plain JSON, which `recast.results` reads."""
    attempt = session.execute(_ATTEMPT, {"id": job_id}).one()
    results = session.execute(_RESULTS, {"id": attempt.id})
    return {
        "job": job_id,
        "state": JobState.SUCCEEDED.value,
        "account": attempt.account,
        "operation": attempt.operation,
        "cost": Money(attempt.cost, runtime.settings.currency).document(),
        "seconds": _seconds(attempt.accepted_at, attempt.finished_at),
        "results": [{**row._mapping, "uri": runtime.storage.url(row.key)} for row in results],
    }


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None
