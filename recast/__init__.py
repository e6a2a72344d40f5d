"""Recast's public face for producers.

    from recast import swap
    result = swap.delay(source="face.jpg", target="photo.jpg").get()
    result["results"][0]["uri"]

`swap` and `generate` are Celery tasks: `delay`, `apply_async`, `group`, `chord`, `chain`, `link`, `link_error` and
`revoke` work as with any other. Nothing here imports the `tasks` package, so a producer's own ``tasks.py`` may take
that name.
"""

from models.errors import (
    DirectCallError,
    InvalidJobError,
    JobError,
    JobFailedError,
    JobRejectedError,
    RecastError,
)
from workers.app import app
from workers.deferred import generate, swap

__all__ = [
    "DirectCallError",
    "InvalidJobError",
    "JobError",
    "JobFailedError",
    "JobRejectedError",
    "RecastError",
    "app",
    "generate",
    "swap",
]
