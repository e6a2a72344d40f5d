"""Progress of batches for programs: the server's side of `recast.Batch`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

from catalog.runs import deployment
from recast.errors import InvalidJobError
from recast.runs import Batch, BatchStuckError, BatchWaitError, Outcome, Result
from reports.batch import find
from reports.export import jobs_of
from reports.obstacles import needs_person
from workers.counted import counted

LOOK_SECONDS = 0.5  # between two reads of the batch's row
JUDGE_SECONDS = 5.0  # between checks whether the batch needs a person


def find_batch(name: str) -> Batch:
    """The batch called `name`.

    Raises:
        UnknownBatchError: there is no such batch.
    """
    with deployment() as runtime:
        return Batch(runtime.db(find, name).name)


def counts(name: str) -> dict[str, int]:
    """The number of a batch's jobs in each state."""
    with deployment() as runtime:
        return dict(runtime.db(find, name).counts)


def wait(name: str, timeout: float | None) -> dict[str, int]:
    """Wait until no job of a batch needs a worker, for at most `timeout` seconds; returns the counts.

    Raises:
        BatchWaitError: the timeout is over.
        BatchStuckError: the batch cannot continue without a person.
        InvalidJobError: the timeout is not a number.
    """
    if timeout is not None and math.isnan(timeout):  # it would never be over
        raise InvalidJobError("timeout", "nan is not allowed; allowed: seconds, or None to wait without limit")
    ends = None if timeout is None else time.monotonic() + timeout
    judge_at = 0.0
    with deployment() as runtime:
        while True:
            report = runtime.db(find, name)
            if report.settled:
                return dict(report.counts)
            now = time.monotonic()
            if now >= judge_at:
                judge_at = now + JUDGE_SECONDS
                if stuck := runtime.db(needs_person, report, runtime.accounts, runtime.settings.currency):
                    raise BatchStuckError(name, stuck)
            if ends is not None and now >= ends:
                raise BatchWaitError(name, f"{report.open:,} of {counted(report.total, 'job')} have not ended")
            time.sleep(LOOK_SECONDS if ends is None else min(LOOK_SECONDS, ends - now))


def outcomes(name: str) -> Iterator[Outcome]:
    """The jobs of a batch in the order of its table, read in portions."""
    with deployment() as runtime:
        batch_id = runtime.db(find, name).id
        for job in jobs_of(runtime, batch_id, runtime.storage, runtime.settings.currency):
            yield {
                "key": job.key, "state": job.state, "reason": job.reason, "error": job.error,
                "account": job.account, "operation": job.operation, "cost": job.cost, "attempts": job.attempts,
                "results": [_result(each) for each in job.results], "metadata": dict(job.extra),
            }  # fmt: skip


def _result(each: Any) -> Result:
    return {
        "index": each["index"], "uri": each["uri"], "sha256": each["sha256"], "size": each["size"],
        "media_type": each["media_type"], "width": each["width"], "height": each["height"],
    }  # fmt: skip
