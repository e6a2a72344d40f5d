"""The base of our own tasks: binds the log context."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Task
from celery.exceptions import Ignore

from models.availability import is_unavailable
from workers.failures import describe

log = structlog.get_logger()


class RecastTask(Task):  # type: ignore[misc]  # celery ships no types
    """A task whose log lines carry its name and id."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body with the task's name and id bound to every log line.

        A database that is unavailable ends the task without a failure: what it left undone is still due in the
        database, and the sweep starts it again. Tasks for which that is not so repeat themselves.
        """
        with structlog.contextvars.bound_contextvars(task=self.name, task_id=self.request.id):
            try:
                return self.run(*args, **kwargs)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                log.warning("task_left_to_the_sweep", error=describe(error))
                raise Ignore from error
