"""Completion notices to waiting producers, a group at a time: what Celery's tracer does after a task's body.

Links, then the chain, then the result (and with it the chord), then the task events. A notice may be repeated when
a worker dies in between; everything it sends has fixed ids.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from traceback import format_exception_only
from typing import Any

import structlog
from celery import group, states
from celery.app.task import Context
from celery.canvas import maybe_signature
from celery.exceptions import TaskRevokedError
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.availability import is_unavailable
from models.states import ANNOUNCED_JOB_STATES, JobState, Reason
from recast.errors import JobError, JobFailedError, JobRejectedError
from workers.engine.runtime import Runtime
from workers.failpoints import hold
from workers.failures import describe
from workers.messaging.app import app
from workers.messaging.chords import count
from workers.messaging.result_store import Note, write
from workers.messaging.task_events import EVENT_CHARS, dispatcher
from workers.producers.canvas import rebuild
from workers.producers.grouping import MOST, Groups
from workers.producers.results import results_of

log = structlog.get_logger()

_TAKE = text("""
    SELECT a.task_id, a.canvas, a.job_id, j.kind, j.state, j.reason, j.error,
        extract(epoch FROM j.finished_at - j.created_at)::float8 AS seconds
    FROM announcements a JOIN jobs j ON j.id = a.job_id
    WHERE a.job_id = ANY(:job_ids) AND a.announced_at IS NULL AND j.state = ANY(:states)
        AND NOT a.task_id = ANY(:failed)
    ORDER BY a.task_id LIMIT :limit FOR UPDATE OF a SKIP LOCKED
""")
_MARK = text("UPDATE announcements SET announced_at = clock_timestamp() WHERE task_id = ANY(:ids)")
_STATES = [str(state) for state in ANNOUNCED_JOB_STATES]


@dataclass(frozen=True, slots=True)
class _Ended:
    """A task whose job has ended, with what Celery would do now."""

    task_id: str
    job_id: str
    state: str
    reason: str | None
    error: str | None
    seconds: float
    request: Context
    #: What `get` returns, or the error that it raises.
    value: Any

    @property
    def note(self) -> Note:
        """Its entry in the result store."""
        state = _CELERY_STATES.get(JobState(self.state), states.FAILURE)
        return Note(self.task_id, self.value, state, self.request, self.traceback)

    @property
    def traceback(self) -> str | None:
        """The text of a failure's error: no Python code failed, and who looks for a traceback finds this."""
        return "".join(format_exception_only(self.value)) if isinstance(self.value, JobError) else None

    @property
    def is_stored(self) -> bool:
        """Whether the entry is wanted; an error always is."""
        return self.state != JobState.SUCCEEDED or not self.request.ignore_result


_CELERY_STATES = {JobState.SUCCEEDED: states.SUCCESS, JobState.CANCELED: states.REVOKED}


def announce_jobs(runtime: Runtime, job_ids: Sequence[str], hostname: str) -> int:
    """Announce the ends of these jobs to all waiting tasks; returns how many notices were sent.

    A notice that cannot be sent harms no other, and is left to the sweep.
    """
    made, failed = 0, list[str]()
    while True:
        sent, not_sent = runtime.db(_announce_group, runtime, job_ids, hostname, failed)
        made += sent
        failed += not_sent
        if not sent and not not_sent:
            return made


def announcing(runtime: Runtime, hostname: str) -> Groups[str]:
    """Announces the ends of jobs whose ids are put in, in groups; what fails is left to the sweep."""

    def work(job_ids: list[str]) -> None:
        try:
            announce_jobs(runtime, job_ids, hostname)
        except Exception as error:
            if not is_unavailable(error):
                raise
            log.warning("completion_notices_left_to_the_sweep", jobs=len(job_ids), error=describe(error))

    return Groups(work, "recast-announce")


def _announce_group(
    session: Session, runtime: Runtime, job_ids: Sequence[str], hostname: str, failed: Sequence[str]
) -> tuple[int, list[str]]:
    """How many notices were sent, and the tasks whose notices could not be."""
    parameters = {"job_ids": list(job_ids), "states": _STATES, "failed": list(failed), "limit": MOST}
    rows = session.execute(_TAKE, parameters).all()
    if not rows:
        return 0, []
    values = results_of(session, runtime, [row.job_id for row in rows if row.state == JobState.SUCCEEDED])
    ended = _those_that_can(rows, lambda row: _ended(row, values))
    ended = _those_that_can(ended, _send_links)
    _write(ended)
    _count(ended)
    ended = _those_that_can(ended, _pass_on)
    with dispatcher(hostname) as events:
        for each in ended:
            kind, fields = _event(each)
            events.send(kind, uuid=each.task_id, runtime=round(each.seconds, 3), **fields)
    hold("announced")
    told = {each.task_id for each in ended}
    session.execute(_MARK, {"ids": list(told)})
    log.info("jobs_announced", tasks=len(told))
    return len(told), [row.task_id for row in rows if row.task_id not in told]


def _those_that_can(items: Sequence[Any], step: Callable[[Any], Any]) -> list[Any]:
    """The outcomes of `step` for those items for which it ends well; the others are logged and left alone."""
    done = []
    for item in items:
        try:
            done.append(step(item))
        except Exception as error:
            log.exception("notice_not_sent", task=item.task_id, job=item.job_id, error=describe(error))
    return done


def _write(ended: Sequence[_Ended]) -> None:
    """Write the results of these tasks; Celery's own patience is for a store that is away."""
    app.backend.ensure(write, (app.backend, [each.note for each in ended if each.is_stored]))


def _count(ended: Sequence[_Ended]) -> None:
    """Count these ends in their chords; those left to Celery, one by one, are the ends that complete a chord."""
    counted = app.backend.ensure(count, (app.backend, [each.note for each in ended]))
    for each in ended:
        if each.task_id in counted:
            each.request.chord = None


def _ended(row: Any, values: dict[str, dict[str, Any]]) -> _Ended:
    fields = {name: getattr(row, name) for name in ("task_id", "job_id", "state", "reason", "error", "seconds")}
    return _Ended(**fields, request=rebuild(row.canvas), value=_value(row, values))


def _value(row: Any, values: dict[str, dict[str, Any]]) -> Any:
    if row.state == JobState.SUCCEEDED:
        return values[row.job_id]
    if row.state == JobState.CANCELED:
        return TaskRevokedError(row.error or "canceled")
    error_class = JobRejectedError if row.state == JobState.REJECTED else JobFailedError
    error: JobError = error_class(row.reason or "failed", row.error or "no reason was recorded", row.job_id)
    return error


def _send_links(ended: _Ended) -> _Ended:
    """Send what is linked to a success."""
    if ended.state != JobState.SUCCEEDED:
        return ended
    request, value = ended.request, ended.value
    passed_on = {"parent_id": ended.task_id, "root_id": request.root_id or ended.task_id}
    callbacks = [maybe_signature(signature, app=app) for signature in request.callbacks or ()]
    groups = [signature for signature in callbacks if isinstance(signature, group)]
    sent = [signature.apply_async((value,), **passed_on) for signature in groups]
    sent += [signature.apply_async((value,), **passed_on) for signature in callbacks if signature not in groups]
    if request.chain:
        following = maybe_signature(request.chain[-1], app=app)
        sent.append(following.apply_async((value,), chain=request.chain[:-1], **passed_on))
    request.children.extend(sent)
    return ended


def _pass_on(ended: _Ended) -> _Ended:
    """Do what follows the result in Celery: the chord and, after an error, the rest of the chain and the errbacks."""
    backend, task_id, request = app.backend, ended.task_id, ended.request
    if ended.state == JobState.SUCCEEDED:
        backend.mark_as_done(task_id, ended.value, request=request, store_result=False)
    elif ended.state == JobState.CANCELED:
        backend.mark_as_revoked(task_id, str(ended.value), request=request, store_result=False)
    else:
        # The rest of the chain is told as well, by the same switch.
        chained = bool(request.chain)
        backend.mark_as_failure(task_id, ended.value, ended.traceback, request=request, store_result=chained)
    return ended


def _event(ended: _Ended) -> tuple[str, dict[str, Any]]:
    if ended.state == JobState.SUCCEEDED:
        return "task-succeeded", {"result": repr(ended.value)[:EVENT_CHARS]}
    if ended.state == JobState.CANCELED:
        return "task-revoked", {"terminated": False, "signum": None, "expired": ended.reason == Reason.EXPIRED}
    return "task-failed", {
        "exception": repr(ended.value)[:EVENT_CHARS],
        "traceback": (ended.traceback or "")[:EVENT_CHARS],
    }
