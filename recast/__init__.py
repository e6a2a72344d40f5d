"""The producers' package of Recast, a task queue for face swaps and portraits.

    from recast import swap
    result = swap.delay(source="face.jpg", target="photo.jpg").get()
    result.results[0].uri

    from recast import run
    batch = run(frame, name="spring")      # a table: see `recast.runs`
    batch.wait()

`swap` and `generate` are Celery tasks: `delay`, `apply_async`, `group`, `chord`, `chain`, `link`, `link_error` and
`revoke` work as with any other task. Importing this package imports no other Recast package, so a producer's own
modules can have any name.

A name is loaded when it is first used: `recast.hints` and its like, which every process of ours needs, load no Celery.
In a producer's processes, which use Celery, `recast.canvas` is loaded as well: their workers call its errbacks.
"""

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recast.client import app
    from recast.errors import (
        DirectCallError,
        InvalidJobError,
        JobError,
        JobFailedError,
        JobRejectedError,
        NotConfiguredError,
        RecastError,
        UnreachableError,
    )
    from recast.jobs import JobAsyncResult, generate, swap
    from recast.money import Money
    from recast.results import GenerateResult, JobResult, Picture, SwapResult
    from recast.reviews import Pilot, Reviewed, pilot, review
    from recast.runs import (
        Batch,
        BatchError,
        BatchStuckError,
        BatchWaitError,
        Outcome,
        Redone,
        Result,
        ServerPackagesError,
        batch,
        redo,
        run,
    )

__all__ = [
    "Batch",
    "BatchError",
    "BatchStuckError",
    "BatchWaitError",
    "DirectCallError",
    "GenerateResult",
    "InvalidJobError",
    "JobAsyncResult",
    "JobError",
    "JobFailedError",
    "JobRejectedError",
    "JobResult",
    "Money",
    "NotConfiguredError",
    "Outcome",
    "Picture",
    "Pilot",
    "RecastError",
    "Redone",
    "Result",
    "Reviewed",
    "ServerPackagesError",
    "SwapResult",
    "UnreachableError",
    "app",
    "batch",
    "generate",
    "pilot",
    "redo",
    "review",
    "run",
    "swap",
]

_MODULES = {
    "recast.client": ("app",),
    "recast.errors": (
        "DirectCallError",
        "InvalidJobError",
        "JobError",
        "JobFailedError",
        "JobRejectedError",
        "NotConfiguredError",
        "RecastError",
        "UnreachableError",
    ),
    "recast.jobs": ("JobAsyncResult", "generate", "swap"),
    "recast.money": ("Money",),
    "recast.results": ("GenerateResult", "JobResult", "Picture", "SwapResult"),
    "recast.reviews": ("Pilot", "Reviewed", "pilot", "review"),
    "recast.runs": (
        "Batch",
        "BatchError",
        "BatchStuckError",
        "BatchWaitError",
        "Outcome",
        "Redone",
        "Result",
        "ServerPackagesError",
        "batch",
        "redo",
        "run",
    ),
}
_CANVAS = "recast.canvas"
_PLACES = {name: module for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Load what `name` is from its module, and keep it."""
        if name not in _PLACES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        import_module(_CANVAS)
        found = globals()[name] = getattr(import_module(_PLACES[name]), name)
        return found

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})


if "celery" in sys.modules:
    import_module(_CANVAS)
