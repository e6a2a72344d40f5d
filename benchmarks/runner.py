"""One contestant's run: fresh servers, a fresh provider, and samples of all CPU times while it works."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from benchmarks.contestants import LATENCY_SECONDS
from benchmarks.figures import Figures, Sample, measure
from benchmarks.lineup import Contestant, Feed, Stage
from benchmarks.processes import Stub, cpu_seconds, machine_cpu_seconds, resident_bytes, running
from benchmarks.stub import Bill
from devstack.servers import Pids, Servers
from models.connection import make_engine

SAMPLE_SECONDS = 0.25  # between two samples, each of which costs a few milliseconds
BILL_SECONDS = 1.0  # between two reads of the bill until the first job is done
START_SECONDS = 60.0  # for a contestant's first completed job
LOG_LINES = 20
NOTES = "notes"  # the producer's file


class RunError(Exception):
    """A contestant did not do its work; the message says what, and quotes its log where that helps."""


def run(contestant: Contestant, seconds: float, picture: Path | None = None) -> Figures:
    """Let `contestant` work for `seconds` after its first completed job, whose results are copies of `picture`.

    The backlog never runs dry: a run that drained it would measure submissions first and polls afterwards.

    Raises:
        RunError: it ended by itself, completed nothing, or sent a job twice.
        TooFewError: it completed too little.
    """
    folder = Path(tempfile.mkdtemp(prefix="recast-bench-"))
    try:
        # Durable: every contestant commits, and each pays for it.
        with Servers(folder / "servers") as servers, Stub(LATENCY_SECONDS, picture) as stub:
            stage = Stage(folder, servers.urls, stub.url, picture is not None)
            return work(contestant, stage, contestant.prepare(stage), servers.pids, stub, seconds)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def work(contestant: Contestant, stage: Stage, feed: Feed, servers: Pids, stub: Stub, seconds: float) -> Figures:
    """Let `contestant`, which is prepared, work on servers that run, as `run` does.

    Raises:
        RunError: it ended by itself, completed nothing, or sent a job twice.
        TooFewError: it completed too little.
    """
    log = stage.folder / f"{contestant.name}.log"
    pids = [pid for pid in (servers.postgres, servers.valkey) if pid is not None]
    with (
        running(contestant.command(), contestant.environment(stage), log) as process,
        _producing(contestant, stage) as producer,
    ):

        def look() -> Sample:
            for name, each in ((contestant.name, process), ("its producer", producer)):
                if each is not None and each.poll() is not None:
                    raise RunError(f"{name} ended with status {each.returncode}. {tail(log)}")
            feed()
            own, provider, *others = cpu_seconds(process.pid, stub.pid, *pids)
            sends = cpu_seconds(producer.pid)[0] if producer is not None else 0.0
            return Sample(
                time.time(), own, sum(others), provider, machine_cpu_seconds(), sends, sum(others[:1]),
                resident_bytes(process.pid),
            )  # fmt: skip

        samples = _observe(look, stub, seconds)
        if samples is None:
            raise RunError(f"{contestant.name} completed nothing within {START_SECONDS:g} s. {tail(log)}")
    return _read_out(contestant, stage, samples, stub.bill())


@contextmanager
def _producing(contestant: Contestant, stage: Stage) -> Iterator[subprocess.Popen[bytes] | None]:
    """The producer, where there is one."""
    if not contestant.producer:
        yield None
        return
    command = [
        sys.executable, "-m", "benchmarks.producer", contestant.producer,
        "--outstanding", str(contestant.outstanding), "--notes", str(stage.folder / NOTES),
    ]  # fmt: skip
    with running(command, contestant.environment(stage), stage.folder / "producer.log") as process:
        yield process


def _observe(look: Callable[[], Sample], stub: Stub, seconds: float) -> list[Sample] | None:
    """Take samples until `seconds` after the first completed job; None if no job completes."""
    samples = [look()]
    ends_at = samples[0].at + START_SECONDS
    started, bill_at = False, 0.0
    while samples[-1].at < ends_at:
        time.sleep(SAMPLE_SECONDS)
        samples.append(look())
        if not started and samples[-1].at >= bill_at:
            bill_at = samples[-1].at + BILL_SECONDS
            started = stub.bill().finished > 0
            ends_at = samples[-1].at + seconds if started else ends_at
    return samples if started else None


def _read_out(contestant: Contestant, stage: Stage, samples: list[Sample], bill: Bill) -> Figures:
    if bill.repeats:
        raise RunError(f"{contestant.name} sent {bill.repeats} jobs twice")
    finished = _finished(contestant, stage)
    # What was finished during the shutdown lies behind the last sample.
    finished = [instant for instant in finished if instant <= samples[-1].at]
    if len(finished) > bill.finished:
        raise RunError(f"{contestant.name} says that {len(finished)} jobs are done, the provider {bill.finished}")
    return measure(finished, samples, polls=bill.polls_of_finished / max(bill.finished, 1), submitted=bill.submits)


def _finished(contestant: Contestant, stage: Stage) -> list[float]:
    if contestant.producer:
        # The last line may be half a one.
        return [float(line) for line in (stage.folder / NOTES).read_text().splitlines()[:-1]]
    engine = make_engine(stage.urls.database)
    with engine.connect() as connection:
        finished = list(connection.execute(text(contestant.finished)).scalars())
    engine.dispose()
    return finished


def tail(log: Path) -> str:
    """The last lines of a log, for an error."""
    lines = log.read_text(errors="replace").splitlines()
    return "\n".join(["Its log ends with:", *lines[-LOG_LINES:]])
