"""The suite `archive`: what it takes to archive one of several months of finished jobs, beside claims.

PostgreSQL has its own default settings. Every job has one attempt and one picture, and a month has batches of up to
100,000 jobs. The command is the one that people run, and the claims are those of one account's pump.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.orm import Session

from benchmarks.aged import BATCH, CHUNK, plain
from benchmarks.cli_costs import spent
from benchmarks.contestants import SOURCE, TARGET
from benchmarks.held import Claimer, Claims
from benchmarks.ids import attempt_id, job_id
from benchmarks.lineup import Recast, Stage
from benchmarks.processes import ROOT, cpu_seconds
from benchmarks.provider import OPERATION
from benchmarks.runner import RunError
from devstack.servers import Pids, Servers
from models.connection import make_engine
from workers.jobs.lanes import lane_of

FINISHED, SHORT_FINISHED = 300_000, 30_000  # jobs of all months
MONTHS = 3
DAYS = 30  # of a month
CLAIMS = 200  # before the command
PAUSE_SECONDS = 0.05  # between two claims, and two looks at what waits
PLANNED = 25_000_000  # jobs of a month in which 300 million are made in a year

_BATCH = "INSERT INTO batches (name, succeeded) VALUES (%(name)s, %(jobs)s) RETURNING id"
_JOBS = f"""
    WITH made AS (
        INSERT INTO jobs (id, kind, source, target, lane, batch_id, key, state, created_at, started_at, finished_at)
        SELECT {job_id("%(batch)s")}, 'swap', %(source)s, %(target)s, %(lane)s, %(batch)s, number::text, 'succeeded',
            at - interval '60 seconds', at - interval '30 seconds', at
        FROM (
            SELECT number, now() - %(days)s * interval '1 day' - number * interval '1 second' AS at
            FROM generate_series(%(first)s::int, %(last)s::int) AS number
        ) numbered
        RETURNING id, batch_id, started_at, finished_at
    ), sent AS (
        INSERT INTO attempts (id, job_id, number, batch_id, account, operation, state, handle, cost, created_at,
            sent_at, accepted_at, finished_at, deadline_at, polls, outputs, raw)
        SELECT {attempt_id("id")}, id, 1, batch_id, 'bench', %(operation)s, 'done', substr(id, 1, 32), 0.05, started_at,
            started_at, started_at, finished_at, started_at + interval '10 minutes', 1,
            jsonb_build_array(jsonb_build_object('url', 'https://pictures.example/' || id)),
            convert_to('{{"id": "' || id || '", "url": "https://pictures.example/' || id || '"}}', 'UTF8')
        FROM made RETURNING id, job_id
    )
    INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)
    SELECT job_id, id, 0, 'ab/cd/' || job_id || '.jpg', md5(job_id) || md5(id::text), 177000, 'image/jpeg', 1024, 1024
    FROM sent
"""
_TABLES = ("jobs", "attempts", "results")
_SIZE = f"SELECT {' + '.join(f'''pg_total_relation_size('{name}')''' for name in _TABLES)}"
_WATCH = """
    SELECT count(*) FILTER (WHERE wait_event_type = 'Lock'),
        coalesce(extract(epoch FROM max(clock_timestamp() - xact_start) FILTER (WHERE backend_xid IS NOT NULL)), 0)
    FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """What archiving one month took."""

    finished: int
    moved: int
    seconds: float
    jobs_per_s: float
    cpu_ms_per_job: float
    database_cpu_ms_per_job: float
    peak_mib: float
    #: Of the files, and of the tables with their indexes before.
    file_bytes_per_job: float
    row_bytes_per_job: float
    #: Transactions that wait for a lock, at most at a time; and the longest that any transaction held what it wrote.
    lock_waits: int
    longest_write_s: float
    claims: Claims
    claims_beside: Claims

    @property
    def hours(self) -> float:
        """Of a planned month."""
        return PLANNED / self.jobs_per_s / 3_600


def measure(*, short: bool, finished: int | None = None) -> Trial:
    """Fill some months, and archive the oldest.

    Raises:
        RunError: not all of it moved.
    """
    finished = finished if finished is not None else SHORT_FINISHED if short else FINISHED
    folder = Path(tempfile.mkdtemp(prefix="recast-bench-"))
    try:
        with Servers(folder / "servers", tuned=False) as servers:
            stage = Stage(folder, servers.urls, "http://127.0.0.1:1", pictures=True)
            Recast().prepare(stage)
            size = fill(stage.urls.database, finished // MONTHS)
            return _trial(stage, servers.pids, finished, size)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(url: str, jobs: int) -> int:
    """Add so many finished jobs to each month; returns the bytes that all of them take, with their indexes."""
    fixed = {"source": SOURCE, "target": TARGET, "operation": OPERATION, "lane": lane_of(None, [OPERATION])}
    with psycopg.connect(plain(url), autocommit=True) as connection:
        before = _one(connection, _SIZE)
        for month in range(MONTHS, 0, -1):
            for start in range(0, jobs, BATCH):
                most = min(BATCH, jobs - start)
                row = connection.execute(_BATCH, {"name": f"{month} months ago, {start}", "jobs": most}).fetchone()
                for first in range(1, most + 1, CHUNK):
                    numbers = {"first": first, "last": min(first + CHUNK - 1, most), "days": month * DAYS}
                    connection.execute(_JOBS, {**fixed, **numbers, "batch": row[0] if row else None})
        connection.execute("VACUUM (ANALYZE)")
        return _one(connection, _SIZE) - before


def _trial(stage: Stage, servers: Pids, finished: int, size: int) -> Trial:
    engine = make_engine(stage.urls.database)
    try:
        with (
            psycopg.connect(plain(stage.urls.database), autocommit=True) as connection,
            Session(engine) as session,
            ThreadPoolExecutor(1) as beside,
        ):
            claimer = Claimer(session)
            clean = [claimer.once(connection) for _ in range(CLAIMS)]
            began, cpu = time.monotonic(), _cpu(servers)
            command = beside.submit(_archive, stage)
            times, waits, longest = list[float](), 0, 0.0
            while not command.done():
                times.append(claimer.once(connection))
                waiting, writing = connection.execute(_WATCH).fetchone() or (0, 0.0)
                waits, longest = max(waits, waiting), max(longest, float(writing))
                time.sleep(PAUSE_SECONDS)
            seconds, database = time.monotonic() - began, _cpu(servers) - cpu
            own, peak = command.result()
            moved, bytes_ = connection.execute("SELECT sum(jobs)::int, sum(size)::int8 FROM archives").fetchone() or (
                0,
                0,
            )
    finally:
        engine.dispose()
    if moved != finished // MONTHS:
        raise RunError(f"{moved} of {finished // MONTHS} jobs were archived")
    return Trial(
        finished, moved, seconds, moved / seconds, 1e3 * own / moved, 1e3 * database / moved, peak, bytes_ / moved,
        size / finished, waits, longest, Claims.of(0, clean), Claims.of(0, times),
    )  # fmt: skip


def _archive(stage: Stage) -> tuple[float, float]:
    """The command's processor seconds, and its largest memory in MiB."""
    environment = {**os.environ, **Recast().environment(stage), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "cli", "archive", "--older-than", f"{MONTHS * DAYS - 1}d"]
    return spent(command, stage.folder, environment)


def _one(connection: psycopg.Connection, query: str) -> int:
    row = connection.execute(query.encode()).fetchone()
    return int(row[0]) if row else 0


def _cpu(servers: Pids) -> float:
    return cpu_seconds(servers.postgres)[0] if servers.postgres is not None else 0.0


def document(found: Trial) -> dict[str, Any]:
    """The figures as JSON."""
    return {**asdict(found), "hours_of_a_planned_month": found.hours, "planned": PLANNED}


def sentences(found: Trial) -> Iterator[str]:
    """What people read of it."""
    yield (
        f"{found.moved:,} of {found.finished:,} jobs archived in {found.seconds:.1f} s: {found.jobs_per_s:.0f} jobs/s,"
        f" {found.cpu_ms_per_job:.2f} ms of the command's CPU a job and {found.database_cpu_ms_per_job:.2f} ms of"
        f" PostgreSQL's, {found.peak_mib:.0f} MiB at most"
    )
    yield f"bytes a job: {found.file_bytes_per_job:.0f} in files, {found.row_bytes_per_job:.0f} in tables and indexes"
    yield (
        f"the longest transaction held its locks for {found.longest_write_s:.2f} s;"
        f" at most {found.lock_waits} others waited for a lock"
    )
    for title, claims in (("claims", found.claims), ("claims beside it", found.claims_beside)):
        yield f"{title}: {claims.words}"
    yield f"a month of {PLANNED:,} jobs would take {found.hours:.1f} hours"
