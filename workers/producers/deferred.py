"""The producers' tasks, `swap` and `generate`: real Celery tasks whose result comes later.

Their body checks the arguments, commits the job and an announcement row under the task's own id, wakes the pumps and
raises `Ignore`: Celery then records neither success nor failure. At the job's end the `announce` task does what Celery
would have done. They are declared here and not in `tasks`, so that a producer whose own module is called ``tasks`` can
import them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from celery import Task
from celery.exceptions import Ignore

from recast.errors import DirectCallError, InvalidJobError
from workers.messaging.app import app

DATABASE_RETRY_SECONDS = 5  # the message waits in the broker while the database is away


class JobTask(Task):  # type: ignore[misc]  # celery ships no types
    """Base of `swap` and `generate`."""

    abstract = True
    ignore_result = False
    #: A wrong argument is told at `.get()`, by the worker, which alone knows the accounts and their options.
    typing = False
    max_retries = None
    kind: str
    fields: tuple[str, ...]

    def __call__(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Run the body on a worker; refuse to run in a caller's process."""
        if self.request.called_directly:
            raise DirectCallError(f"{self.name} runs on workers: use {self.name}.delay(...) and .get() the result")
        self.run(*args, **kwargs)
        raise AssertionError("a deferred task's body never returns")

    def apply(self, *args: Any, **kwargs: Any) -> NoReturn:  # noqa: ARG002 - Celery's signature
        """Refuse eager mode: there is no provider, queue or database in it."""
        raise DirectCallError(f"{self.name} cannot run eagerly; for tests without keys start `recast up --sandbox`")

    def apply_async(self, args: Any = None, kwargs: Any = None, **options: Any) -> Any:
        """Send the job; see `celery.app.task.Task.apply_async`."""
        if self.app.conf.task_always_eager:
            self.apply()
        return super().apply_async(args, kwargs, **options)

    def defer(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> NoReturn:
        """Accept the job on a worker; its result is announced at its end."""
        from sqlalchemy.exc import OperationalError  # noqa: PLC0415

        from workers.engine.runtime import runtime  # noqa: PLC0415 - loads the database driver
        from workers.producers.accept import accept  # noqa: PLC0415

        arguments = self._named(args, kwargs)
        try:
            accept(runtime(), self.kind, arguments, self.request)
        except OperationalError as error:
            raise self.retry(exc=error, countdown=DATABASE_RETRY_SECONDS) from error
        raise Ignore

    def _named(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        if len(args) > len(self.fields):
            raise InvalidJobError("arguments", f"{len(args)} positional arguments; {self.name} takes {self.fields}")
        named = dict(zip(self.fields, args, strict=False))
        for name, value in kwargs.items():
            if name in named:
                raise InvalidJobError(name, "is given twice, by position and by name")
            if name not in self.fields:
                raise InvalidJobError(name, f"is no argument of {self.name}; allowed: {', '.join(self.fields)}")
            named[name] = value
        return named


_COMMON = ("account", "provider", "operation", "options", "priority", "dedupe_key", "consent")


@app.task(bind=True, base=JobTask, name="swap", kind="swap", fields=("source", "target", "prompt", *_COMMON))
def swap(self: JobTask, *args: Any, **kwargs: Any) -> NoReturn:
    """Put the face of `source` onto `target`.

    Arguments: source, target (paths, URLs, or the result of another job), prompt, account, provider, operation, options
    (of the operation), priority (higher goes first), dedupe_key (a second job with the same key shares the first one),
    consent (the reference of the release that the person shown has signed; accounts may insist on one).
    """
    self.defer(args, kwargs)


@app.task(bind=True, base=JobTask, name="generate", kind="generate", fields=("image", "prompt", *_COMMON))
def generate(self: JobTask, *args: Any, **kwargs: Any) -> NoReturn:
    """Make portraits of the face in `image`; arguments as for `swap`, with `image` and `prompt` first."""
    self.defer(args, kwargs)
