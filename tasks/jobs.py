"""The producers' tasks, as workers run them: real Celery tasks whose result comes later.

Their body commits the job and a completion notice under the task's own id, wakes the pumps and raises `Ignore`:
Celery then records neither success nor failure. At the job's end the `announce` task does what Celery would have
done. Producers send them by `recast.jobs`, or by name.
"""

from __future__ import annotations

import os
from typing import Any, NoReturn

import structlog
from celery import states
from celery.exceptions import BackendError, Ignore, Reject
from redis.exceptions import RedisError

from models.availability import is_unavailable
from recast.names import GENERATE, SWAP
from tasks.base import RecastTask
from workers.backoff import jittered
from workers.engine.runtime import runtime
from workers.failures import describe
from workers.messaging.app import app
from workers.producers.accept import accept, arguments

DATABASE_RETRY_SECONDS = 5  # the message waits in the broker while the database is unavailable

log = structlog.get_logger()


class JobTask(RecastTask):
    """Base of `swap` and `generate`."""

    abstract = True
    ignore_result = False
    max_retries = None
    #: Noted by `defer`: Celery ends a task as failed when the result store has no room for the note.
    track_started = False
    #: A wrong argument raises an error at `.get()` that names it.
    typing = False

    def defer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        """Accept the job; its result is announced at its end."""
        self._note_start()
        try:
            accept(runtime(), self.name, arguments(self.name, args, kwargs), self.request)
        except Exception as error:
            if not is_unavailable(error):
                raise
            self._postpone(error)
        raise Ignore

    def _note_start(self) -> None:
        started = {"pid": os.getpid(), "hostname": self.request.hostname}
        try:
            self.backend.store_result(self.request.id, started, states.STARTED, request=self.request)
        except (RedisError, BackendError, OSError) as error:
            log.warning("start_not_noted", error=describe(error))

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
