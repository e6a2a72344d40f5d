"""The producers' tasks, as workers run them: real Celery tasks whose result comes later.

Their body commits the job and a completion notice under the task's own id, wakes the pumps and raises `Ignore`:
Celery then records neither success nor failure. At the job's end the `announce` task does what Celery would have
done. Producers send them by `recast.jobs`, or by name.
"""

from __future__ import annotations

from typing import Any, NoReturn

from celery.exceptions import Ignore
from sqlalchemy.exc import OperationalError

from recast.names import GENERATE, SWAP
from tasks.base import RecastTask
from workers.engine.runtime import runtime
from workers.messaging.app import app
from workers.producers.accept import accept, arguments

DATABASE_RETRY_SECONDS = 5  # the message waits in the broker while the database is away


class JobTask(RecastTask):
    """Base of `swap` and `generate`."""

    abstract = True
    ignore_result = False
    max_retries = None
    #: A wrong argument raises an error at `.get()` that names it.
    typing = False

    def defer(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> NoReturn:
        """Accept the job; its result is announced at its end."""
        try:
            accept(runtime(), self.name, arguments(self.name, args, kwargs), self.request)
        except OperationalError as error:
            raise self.retry(exc=error, countdown=DATABASE_RETRY_SECONDS) from error
        raise Ignore


@app.task(bind=True, base=JobTask, name=SWAP)
def swap(self: JobTask, *args: Any, **kwargs: Any) -> NoReturn:
    """Accept a job that puts the face of one picture onto another."""
    self.defer(args, kwargs)


@app.task(bind=True, base=JobTask, name=GENERATE)
def generate(self: JobTask, *args: Any, **kwargs: Any) -> NoReturn:
    """Accept a job that makes portraits of a face."""
    self.defer(args, kwargs)
