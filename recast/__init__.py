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
"""

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
from recast.runs import (
    Batch,
    BatchError,
    BatchStuckError,
    BatchWaitError,
    Outcome,
    Result,
    ServerPackagesError,
    batch,
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
    "RecastError",
    "Result",
    "ServerPackagesError",
    "SwapResult",
    "UnreachableError",
    "app",
    "batch",
    "generate",
    "run",
    "swap",
]
