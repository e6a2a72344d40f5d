"""The producers' tasks, as workers run them: real Celery tasks whose result comes later.

A group of their messages is accepted at once, before Celery would run their bodies (`workers.producers.intake`): the
jobs are committed, each with a completion notice under the task's own id. Celery records neither success nor failure;
at the job's end the `announce` task does what Celery would have done. A body runs only for a message that a group does
not accept. Producers send the tasks by `recast.jobs`, or by name.
"""

from __future__ import annotations

from typing import Any, NoReturn

import structlog
from celery.exceptions import Ignore, Reject

from models.availability import is_unavailable
from recast.names import GENERATE, SWAP
from tasks.base import RecastTask
from workers.backoff import jittered
from workers.engine.runtime import runtime
from workers.failures import describe
from workers.messaging.app import app
from workers.producers.accept import accept
from workers.producers.check import TaskMessage
from workers.producers.intake import REFUSAL, note_starts

DATABASE_RETRY_SECONDS = 5  # the message waits in the broker while the database is unavailable

log = structlog.get_logger()


class JobTask(RecastTask):
    """Base of `swap` and `generate`."""

    abstract = True
    Strategy = "workers.producers.intake:strategy"
    ignore_result = False
    max_retries = None
    #: Noted by the intake: Celery ends a task as failed when the result store has no room for the note.
    track_started = False
    #: A wrong argument raises an error at `.get()` that names it.
    typing = False

    def defer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        """Raise the error for which the job was not accepted; where no group has tried, be a group of one."""
        error = getattr(self.request, REFUSAL, None)
        if not isinstance(error, Exception):  # what is not ours came with the message
            asked = TaskMessage(self.name, args, kwargs, self.request)
            note_starts([asked])
            (error,) = accept(runtime(), [asked])
        if not isinstance(error, Exception):
            raise Ignore
        if is_unavailable(error):
            self._postpone(error)
        raise error

    def _postpone(self, error: Exception) -> NoReturn:
        """Have the message come again, with the job not stored."""
        log.warning("job_waits_for_database", error=describe(error))
        try:
            again = self.retry(exc=error, countdown=jittered(DATABASE_RETRY_SECONDS), throw=False)
        except Reject as rejected:
            # The broker did not take the new message, so the one that there is must not be given up.
            raise Reject(rejected.reason, requeue=True) from error
        raise again


@app.task(bind=True, base=JobTask, name=SWAP)
def swap(self: JobTask, *args: Any, **kwargs: Any) -> NoReturn:
    """Accept a job that puts the face of one picture onto another."""
    self.defer(args, kwargs)


@app.task(bind=True, base=JobTask, name=GENERATE)
def generate(self: JobTask, *args: Any, **kwargs: Any) -> NoReturn:
    """Accept a job that makes portraits of a face."""
    self.defer(args, kwargs)
