"""Recast's public face for producers.

    from recast import swap
    result = swap.delay(source="face.jpg", target="photo.jpg").get()
    result["results"][0]["uri"]

    from recast import run
    batch = run(frame, name="spring")      # a table: see `recast.runs`
    batch.wait()

`swap` and `generate` are Celery tasks: `delay`, `apply_async`, `group`, `chord`, `chain`, `link`, `link_error` and
`revoke` work as with any other. Nothing here imports the `tasks` package, so a producer's own ``tasks.py`` may take
that name.
"""

from importlib import import_module
from typing import Any

from recast.errors import (
    DirectCallError,
    InvalidJobError,
    JobError,
    JobFailedError,
    JobRejectedError,
    RecastError,
)
from recast.runs import Batch, BatchError, BatchStuckError, BatchWaitError, Outcome, Result, batch, run

__all__ = [
    "Batch",
    "BatchError",
    "BatchStuckError",
    "BatchWaitError",
    "DirectCallError",
    "InvalidJobError",
    "JobError",
    "JobFailedError",
    "JobRejectedError",
    "Outcome",
    "RecastError",
    "Result",
    "app",
    "batch",
    "generate",
    "run",
    "swap",
]


def __getattr__(name: str) -> Any:
    if name == "app":
        return import_module("workers.messaging.app").app
    if name in {"swap", "generate"}:
        return getattr(import_module("workers.producers.deferred"), name)
    raise AttributeError(name)
