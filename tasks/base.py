"""The base of our own tasks: binds the log context."""

from __future__ import annotations

from typing import Any

import structlog
from celery import Task


class RecastTask(Task):  # type: ignore[misc]  # celery ships no types
    """A task whose log lines carry its name and id."""

    abstract = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the body with the task's name and id bound to every log line."""
        with structlog.contextvars.bound_contextvars(task=self.name, task_id=self.request.id):
            return self.run(*args, **kwargs)
