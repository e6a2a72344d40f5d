"""The suite `inflight`: what a worker holds while many jobs wait at the provider, and how soon it stops.

The provider takes the jobs from the benchmark itself, and their rows are written by SQL: sending a million would take
half an hour, and be no more true. Some of them become due then, and the worker is stopped in the middle of their polls;
the next one polls the rest. What is in flight must be in flight, ended, or both sides would not agree.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import psycopg

import migrations
from benchmarks.aged import plain
from benchmarks.contestants import SOURCE, TARGET
from benchmarks.figures import MEGABYTE
from benchmarks.ids import attempt_id, job_id
from benchmarks.lineup import Recast, Stage, add_backlog, write_accounts
from benchmarks.processes import Stub, resident_bytes, running
from benchmarks.provider import OPERATION
from benchmarks.runner import RunError, tail
from devstack.servers import Servers
from models.connection import make_engine
from workers.jobs.lanes import lane_of

WAITING, SHORT_WAITING = 1_000_000, 20_000  # jobs in flight
DUE = 4_000  # of them become due
WARM_UP = 200  # jobs before, which open connections and fill caches
STUB_SECONDS = 1.0  # the provider is long done when it is asked
SETTLE_SECONDS = 20.0  # a few sweeps, of every 5 s
SAMPLE_SECONDS = 0.25
WAIT_SECONDS = 600.0
STOP_SECONDS = 60.0
POSTS = 500  # requests written at a time

_IN_FLIGHT = f"""
    WITH made AS (
        INSERT INTO jobs (id, kind, source, target, lane, batch_id, key, state, started_at)
        SELECT {job_id("%(batch)s")}, 'swap', %(source)s, %(target)s, %(lane)s, %(batch)s, number::text, 'running',
            now() FROM generate_series(%(first)s::int, %(last)s::int) AS number
        RETURNING id, batch_id, key
    )
    INSERT INTO attempts (id, job_id, number, batch_id, account, operation, state, handle, sent_at, accepted_at,
        next_poll_at, deadline_at)
    SELECT {attempt_id("id")}, id, 1, batch_id, 'bench', %(operation)s, 'running', key, now(), now(),
        now() + interval '1 hour', now() + interval '2 hours'
    FROM made
"""
_BATCH = "INSERT INTO batches (name, running) VALUES ('in flight', %s) RETURNING id"
_MAKE_DUE = """
    UPDATE attempts SET next_poll_at = now() WHERE id IN (
        SELECT id FROM attempts WHERE next_poll_at > now() + interval '10 minutes' LIMIT %s)
"""
_STATES = """
    SELECT state, count(*) FROM jobs WHERE batch_id = (SELECT id FROM batches WHERE name = 'in flight') GROUP BY 1
"""
_OPEN = "SELECT count(*) FROM jobs WHERE state IN ('queued', 'saving', 'running')"


@dataclass(frozen=True, slots=True)
class InFlight:
    """What was found. Memory is resident, of the worker with its beat."""

    waiting: int
    idle_mb: float
    #: Above idle: while they wait, and the most while some were polled.
    waiting_mb: float
    polled_mb: float
    #: From SIGTERM to the end of the process.
    sigterm_s: float
    #: Jobs that are neither in flight nor ended well, and submissions that came twice.
    lost: int
    repeats: int


def measure(*, short: bool, waiting: int | None = None) -> InFlight:
    """Measure a worker with so many jobs in flight.

    Raises:
        RunError: a worker did not do its work, or did not stop.
    """
    waiting = waiting if waiting is not None else SHORT_WAITING if short else WAITING
    folder = Path(tempfile.mkdtemp(prefix="recast-bench-"))
    try:
        with Servers(folder / "servers") as servers, Stub(STUB_SECONDS) as stub:
            stage = Stage(folder, servers.urls, stub.url)
            recast = Recast()
            write_accounts(stage, recast.ACCOUNT)
            engine = make_engine(stage.urls.database)
            migrations.upgrade(engine)
            with engine.begin() as connection:
                recast.add_account(connection)
                add_backlog(connection, WARM_UP)
            engine.dispose()
            with psycopg.connect(plain(stage.urls.database), autocommit=True) as database:
                return _Run(recast, stage, stub, database, waiting).found()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, recast: Recast, stage: Stage, stub: Stub, database: psycopg.Connection, waiting: int) -> None:
        self._recast, self._stage, self._stub, self._database = recast, stage, stub, database
        self._waiting, self._due = waiting, min(DUE, waiting)

    def found(self) -> InFlight:
        with self._worker() as worker:
            self._until(lambda: self._one(_OPEN) == 0, worker)
            idle = self._settled(worker)
            self._fill()
            waits = self._settled(worker)
            self._database.execute(_MAKE_DUE, (self._due,))
            most = self._until(lambda: self._succeeded() >= self._due // 2, worker)
            began = time.monotonic()
            worker.terminate()
            try:
                worker.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                raise RunError(f"the worker did not stop within {STOP_SECONDS:g} s") from None
            stopped = time.monotonic() - began
        with self._worker() as worker:
            most = max(most, self._until(lambda: self._succeeded() >= self._due, worker))
        states = self._states()
        kept = states.get("running", 0) + states.get("succeeded", 0)
        return InFlight(
            self._waiting, idle / MEGABYTE, (waits - idle) / MEGABYTE, (most - idle) / MEGABYTE, stopped,
            self._waiting - kept, self._stub.bill().repeats,
        )  # fmt: skip

    @contextmanager
    def _worker(self) -> Iterator[subprocess.Popen[bytes]]:
        with running(self._recast.command(), self._recast.environment(self._stage), self._log) as worker:
            yield worker

    @property
    def _log(self) -> Path:
        return self._stage.folder / "recast.log"

    def _until(self, there: Callable[[], bool], worker: subprocess.Popen[bytes]) -> int:
        """Wait for it; the most memory that the worker had meanwhile, in bytes."""
        ends_at, most = time.monotonic() + WAIT_SECONDS, 0
        while not there():
            if worker.poll() is not None or time.monotonic() > ends_at:
                raise RunError(f"the worker did not do its work within {WAIT_SECONDS:g} s. {tail(self._log)}")
            most = max(most, resident_bytes(worker.pid))
            time.sleep(SAMPLE_SECONDS)
        return most

    def _settled(self, worker: subprocess.Popen[bytes]) -> int:
        time.sleep(SETTLE_SECONDS)
        return resident_bytes(worker.pid)

    def _succeeded(self) -> int:
        return self._states().get("succeeded", 0)

    def _states(self) -> dict[str, int]:
        rows: list[tuple[str, int]] = self._database.execute(_STATES).fetchall()
        return dict(rows)

    def _one(self, query: str) -> int:
        row = self._database.execute(query.encode()).fetchone()
        return int(row[0]) if row else 0

    def _fill(self) -> None:
        """Hand the jobs to the provider, whose ids are numbers in the order of submission, and write their rows."""
        first = self._stub.bill().submits
        _post(self._stub.url, self._waiting)
        row = self._database.execute(_BATCH, (self._waiting,)).fetchone()
        values = {
            "source": SOURCE, "target": TARGET, "lane": lane_of(None, [OPERATION]), "operation": OPERATION,
            "batch": row[0] if row else None, "first": first, "last": first + self._waiting - 1,
        }  # fmt: skip
        self._database.execute(_IN_FLIGHT, values)
        self._database.execute("ANALYZE")


def _post(url: str, number: int) -> None:
    """Submit jobs on one connection, many requests in one write."""
    address = urlsplit(url)
    with socket.create_connection((address.hostname or "", address.port or 0)) as connection:
        answers = connection.makefile("rb")
        for start in range(0, number, POSTS):
            bodies = [b'{"reference":"waits-%d"}' % each for each in range(start, min(start + POSTS, number))]
            head = b"POST /jobs HTTP/1.1\r\nHost: stub\r\nContent-Length: %d\r\n\r\n%b"
            connection.sendall(b"".join(head % (len(body), body) for body in bodies))
            for _ in bodies:
                _read_answer(answers)


def _read_answer(answers: BinaryIO) -> None:
    length = 0
    while line := answers.readline().strip():
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    answers.read(length)


def sentences(found: InFlight) -> Iterator[str]:
    """What people read of it."""
    yield (
        f"{found.waiting:,} jobs in flight: {found.idle_mb:.0f} MB idle, {found.waiting_mb:+.1f} MB while they wait,"
        f" {found.polled_mb:+.1f} MB at most while {min(DUE, found.waiting):,} of them are polled"
    )
    yield f"SIGTERM in the middle of polls: {found.sigterm_s:.1f} s; lost {found.lost}, sent twice {found.repeats}"
