"""The suite `latency`: from a producer's `swap.delay` to the first byte of the job's submission at the provider.

Once on an idle deployment, job after job, and once beside a large batch that another account works on.
"""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.contestants import LATENCY_SECONDS, SOURCE, TARGET
from benchmarks.lineup import Stage, add_backlog, write_accounts
from benchmarks.processes import Stub, running
from benchmarks.runner import RunError, tail
from benchmarks.waited import WaitedRecast
from devstack.servers import Servers
from models.connection import make_engine
from models.identity import client_reference

JOBS = 120  # of each part: enough for a 95th percentile
WARM_UP = 10  # jobs before, which find caches cold and connections closed
PAUSE_SECONDS = 0.1  # between two jobs, so that each finds the deployment as idle as before it
LOOK_SECONDS = 0.005  # between two questions whether a submission has come
WAIT_SECONDS = 90.0
BATCH, SHORT_BATCH = 100_000, 30_000
OTHER = "other"  # the account whose batch is worked on


@dataclass(frozen=True, slots=True)
class Latency:
    """What a number of jobs took from `delay` to their first byte at the provider."""

    jobs: int
    p50_ms: float
    p95_ms: float
    longest_ms: float


def of(seconds: list[float]) -> Latency:
    """The figures of these times."""
    cuts = statistics.quantiles(seconds, n=20, method="inclusive")
    return Latency(len(seconds), 1e3 * cuts[9], 1e3 * cuts[18], 1e3 * max(seconds))


def measure(*, short: bool) -> dict[str, Latency]:
    """Measure both parts, on one deployment.

    Raises:
        RunError: the worker ended, or a submission did not come.
    """
    folder = Path(tempfile.mkdtemp(prefix="recast-bench-"))
    recast = WaitedRecast()
    try:
        with Servers(folder / "servers") as servers, Stub(LATENCY_SECONDS) as stub:
            stage = Stage(folder, servers.urls, stub.url)
            recast.prepare(stage)
            write_accounts(stage, recast.ACCOUNT, OTHER)
            environment, log = recast.environment(stage), folder / "recast.log"
            with running(recast.command(), environment, log):
                try:
                    return _both(stage, stub, environment, SHORT_BATCH if short else BATCH)
                except RunError as error:
                    raise RunError(f"{error}. {tail(log)}") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _both(stage: Stage, stub: Stub, environment: Mapping[str, str], batch: int) -> dict[str, Latency]:
    os.environ.update(environment)  # where `recast` finds the broker
    _times(stub, WARM_UP)
    idle = _times(stub, JOBS)
    engine = make_engine(stage.urls.database)
    with engine.begin() as connection:
        add_backlog(connection, batch, account=OTHER)
    engine.dispose()
    before = stub.bill().submits
    _wait_for_the_batch(stub)
    beside = _times(stub, JOBS)
    if stub.bill().submits >= before + batch:
        raise RunError(f"the batch of {batch:,} jobs was sent before the {JOBS} jobs beside it were")
    return {"idle": of(idle), "beside_a_batch": of(beside)}


def _wait_for_the_batch(stub: Stub) -> None:
    """Return when the worker is well into the batch: the sweep finds it, as after any restart."""
    before, ends_at = stub.bill().submits, time.monotonic() + WAIT_SECONDS
    while stub.bill().submits < before + 500:
        if time.monotonic() > ends_at:
            raise RunError(f"the batch was not begun within {WAIT_SECONDS:g} s")
        time.sleep(PAUSE_SECONDS)


def _times(stub: Stub, jobs: int) -> list[float]:
    from recast import swap  # noqa: PLC0415 - reads the environment that was just set

    found = []
    for _ in range(jobs):
        began = time.time()
        sent: Any = swap.delay(source=SOURCE, target=TARGET, account=WaitedRecast.ACCOUNT)
        found.append(_arrival(stub, client_reference(sent.id, 1)) - began)
        time.sleep(PAUSE_SECONDS)
    return found


def _arrival(stub: Stub, reference: object) -> float:
    ends_at = time.monotonic() + WAIT_SECONDS
    while (at := stub.arrived(reference)) is None:
        if time.monotonic() > ends_at:
            raise RunError(f"a submission did not come within {WAIT_SECONDS:g} s")
        time.sleep(LOOK_SECONDS)
    return at


def document(found: Mapping[str, Latency]) -> dict[str, Any]:
    """The figures as JSON."""
    return {part: asdict(latency) for part, latency in found.items()}
