"""Claims while a transaction is held open, so that nothing of the jobs that passed the queue can be vacuumed."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import psycopg
from sqlalchemy.orm import Session

from benchmarks.aged import plain
from benchmarks.contestants import IN_FLIGHT, SOURCE, TARGET
from benchmarks.ids import job_id
from benchmarks.provider import OPERATION, Bench, BenchSettings
from models.connection import make_engine
from workers.config.accounts import Account
from workers.engine.claims import claim
from workers.engine.floors import Floors
from workers.jobs.lanes import lane_of

CLAIMS = 1_000  # that are measured: enough for a 99th percentile
JOBS = 12  # of one claim: half of a worker's connections, as by default
STEP = 10_000  # jobs that pass between two claims while the queue ages

_WAITING = f"""
    INSERT INTO jobs (id, kind, source, target, lane, batch_id, key)
    SELECT {job_id("SELECT id FROM batches WHERE name = 'bench'")}, 'swap', %(source)s, %(target)s, %(lane)s,
        (SELECT id FROM batches WHERE name = 'bench'), 'more ' || number
    FROM generate_series(1, %(jobs)s::int) AS number
"""
# As many moves of a row as a job makes.
_PASS = (
    "UPDATE jobs SET claimed_until = clock_timestamp() WHERE id = ANY(%(ids)s)",
    "UPDATE jobs SET state = 'running', claimed_until = NULL, started_at = now() WHERE id = ANY(%(ids)s)",
    "UPDATE jobs SET state = 'succeeded', finished_at = now() WHERE id = ANY(%(ids)s)",
)
_FIRST = "SELECT id FROM jobs WHERE state = 'queued' ORDER BY lane, batch_id, priority DESC, seq OFFSET %s LIMIT %s"


@dataclass(frozen=True, slots=True)
class Claims:
    """What a number of claims took, each in a transaction of its own, once so many jobs had passed the queue."""

    passed: int
    claims: int
    p50_ms: float
    p99_ms: float
    longest_ms: float

    @property
    def words(self) -> str:
        """What people read of them."""
        return f"p50 {self.p50_ms:.1f} ms, p99 {self.p99_ms:.1f} ms, longest {self.longest_ms:.0f} ms, of {self.claims}"

    @classmethod
    def of(cls, passed: int, times: Sequence[float]) -> Claims:
        """Of the seconds that each took."""
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        return cls(passed, len(times), 1e3 * cuts[49], 1e3 * cuts[98], 1e3 * max(times))


def measure(url: str, passed: int, *, hold: bool) -> Claims:
    """Let jobs pass through the queue, beside a transaction that is held open or not, and measure the claims then."""
    with psycopg.connect(plain(url)) if hold else nullcontext() as holder:
        if isinstance(holder, psycopg.Connection):
            holder.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            holder.execute("SELECT count(*) FROM batches")  # keeps its snapshot from here on
        engine = make_engine(url)
        try:
            with psycopg.connect(plain(url), autocommit=True) as connection, Session(engine) as session:
                claimer = Claimer(session)
                _age(connection, passed, claimer)
                if not hold:
                    connection.execute("VACUUM (ANALYZE) jobs")  # as autovacuum would have by then
                times = [claimer.once(connection) for _ in range(CLAIMS)]
        finally:
            engine.dispose()
    return Claims.of(passed, times)


class Claimer:
    """The claims of one account's pump."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._floors = Floors()  # which the pump has as well
        self._account = Account(
            name="bench", provider=Bench.NAME, base_url="http://127.0.0.1:1", max_in_flight=IN_FLIGHT, adapter=Bench,
            own=BenchSettings(),
        )  # fmt: skip

    def once(self, connection: psycopg.Connection) -> float:
        """Claim some jobs, let them pass, and return the seconds that the claim took."""
        began = time.perf_counter()
        claimed = claim(self._session, self._account, JOBS, floors=self._floors)
        self._session.commit()
        seconds = time.perf_counter() - began
        assert len(claimed) == JOBS
        for statement in _PASS[1:]:
            connection.execute(statement, {"ids": [each.job_id for each in claimed]})
        return seconds


def _age(connection: psycopg.Connection, passed: int, claimer: Claimer) -> None:
    values = {"source": SOURCE, "target": TARGET, "lane": lane_of(None, [OPERATION]), "jobs": passed}
    connection.execute(_WAITING, values)
    connection.execute("ANALYZE jobs")
    ids: list[str] = [row[0] for row in connection.execute(_FIRST, (0, passed)).fetchall()]
    for start in range(0, passed, STEP):
        for statement in _PASS:
            connection.execute(statement, {"ids": ids[start : start + STEP]})
        claimer.once(connection)
