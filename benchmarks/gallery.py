"""The suite `gallery`: how long pages of `recast web` take in a batch of a million pictures, near and far.

Some pictures are flagged, and some have verdicts. PostgreSQL has its default settings. Times are from the request to
the last byte, on one connection, one page after the other.
"""

from __future__ import annotations

import base64
import http.client
import shutil
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import psycopg

import migrations
from benchmarks.aged import plain
from benchmarks.contestants import SOURCE, TARGET
from benchmarks.ids import attempt_id, job_id
from benchmarks.lineup import Recast, Stage, write_accounts
from benchmarks.processes import cpu_seconds, running
from benchmarks.runner import RunError, tail
from benchmarks.stub import HOST
from devstack.servers import Servers
from models.checks import CheckName
from models.connection import make_engine
from models.verdicts import Verdict

PICTURES, SHORT_PICTURES = 1_000_000, 50_000
FLAGGED = 50  # one picture in so many has a flag
REVIEWED = 10  # one in so many has a verdict, of which half are approvals
BATCHES, SHORT_BATCHES = 5_000, 500  # beside it, of pictures that are not there: their numbers are
CHUNK = 50_000  # rows of one statement
LOADS = 60  # of each page: enough for a 95th percentile
WARM_UP = 5  # loads before, which read what is not in memory yet
START_SECONDS = 60.0
SIGN_IN = "operator:a-long-password"

_BATCH = "INSERT INTO batches (name, succeeded, queued) VALUES ('gallery', %(pictures)s, 0) RETURNING id"
_ROWS = f"""
    WITH made AS (
        INSERT INTO jobs (id, kind, source, target, lane, batch_id, key, state, started_at, finished_at)
        SELECT {job_id("%(batch)s")}, 'swap', %(source)s, %(target)s, 'all', %(batch)s, 'look ' || number,
            'succeeded', now(), now()
        FROM generate_series(%(first)s::int, %(last)s::int) AS number
        RETURNING id, batch_id
    ), attempted AS (
        INSERT INTO attempts (id, job_id, number, batch_id, account, operation, state, handle, cost, created_at,
            sent_at, accepted_at, finished_at, deadline_at, polls, outputs)
        SELECT {attempt_id("id")}, id, 1, batch_id, 'bench', 'bench.make', 'done', id, 0.05, now(), now(), now(), now(),
            now() + interval '10 minutes', 1, '[]'
        FROM made RETURNING id, job_id
    )
    INSERT INTO results (job_id, attempt_id, index, key, thumbnail_key, sha256, size, media_type, width, height)
    SELECT job_id, id, 0, substr(digest, 1, 2) || '/' || substr(digest, 3, 2) || '/' || digest || '.jpg', NULL, digest,
        177000, 'image/jpeg', 1024, 1024
    FROM attempted, LATERAL (SELECT encode(sha256(convert_to(job_id, 'UTF8')), 'hex') AS digest) AS digests
"""
_FLAGS = """
    INSERT INTO checks (result_id, name, job_id, batch_id, seq, score, threshold, flagged, rank)
    SELECT results.id, (%(names)s::text[])[1 + results.id %% cardinality(%(names)s::text[])], jobs.id, jobs.batch_id,
        jobs.seq, 0.9, 0.5, true, random()
    FROM results JOIN jobs ON jobs.id = results.job_id WHERE results.id %% %(every)s = 0
"""
_VERDICTS = """
    WITH judged AS (
        INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict)
        SELECT results.id, jobs.id, jobs.batch_id, 'Anna',
            CASE WHEN results.id %% (2 * %(every)s) = 0 THEN %(approved)s ELSE %(needs_work)s END
        FROM results JOIN jobs ON jobs.id = results.job_id WHERE results.id %% %(every)s = 0
        RETURNING id, job_id, batch_id, verdict
    )
    INSERT INTO reviews (job_id, batch_id, seq, verdict, verdict_id)
    SELECT judged.job_id, judged.batch_id, jobs.seq, judged.verdict, judged.id
    FROM judged JOIN jobs ON jobs.id = judged.job_id
"""
_BESIDE = """
    WITH made AS (
        INSERT INTO batches (name, label, succeeded, failed, held, created_at)
        SELECT 'run ' || number, 'label ' || number %% 40, 190, number %% 7, number %% 3,
            now() - number * interval '1 hour'
        FROM generate_series(1, %(batches)s::int) AS number RETURNING id
    ), booked AS (
        INSERT INTO spend (scope, period, amount) SELECT 'batch:' || id, 'all', id %% 97 FROM made
    )
    INSERT INTO verdict_counts (batch_id, verdict, number) SELECT id, %(approved)s, id %% 190 FROM made
"""
_PLACES = """
    SELECT (SELECT id FROM batches WHERE name = 'gallery'), min(seq), max(seq),
        (SELECT id FROM jobs ORDER BY seq OFFSET 100 LIMIT 1)
    FROM jobs
"""


@dataclass(frozen=True, slots=True)
class Page:
    """What one page took; the server's CPU is that of the web process alone."""

    p50_ms: float
    p95_ms: float
    cpu_ms: float
    kilobytes: float


@dataclass(frozen=True, slots=True)
class Gallery:
    """What was found, by what the page shows."""

    pictures: int
    pages: Mapping[str, Page]

    def document(self) -> dict[str, Any]:
        """The figures as JSON."""
        return asdict(self)


def measure(*, short: bool) -> Gallery:
    """Fill a batch, serve it, and load pages.

    Raises:
        RunError: a page did not come.
    """
    number = SHORT_PICTURES if short else PICTURES
    folder = Path(tempfile.mkdtemp(prefix="recast-bench-"))
    try:
        with Servers(folder / "servers", tuned=False) as servers:
            stage = Stage(folder, servers.urls, "http://127.0.0.1:1")
            write_accounts(stage, Recast.ACCOUNT)
            engine = make_engine(stage.urls.database)
            migrations.upgrade(engine)
            engine.dispose()
            pages = pages_of(fill(stage.urls.database, number, SHORT_BATCHES if short else BATCHES))
            with _serving(stage) as (web, pid):
                return Gallery(number, {name: _load(web, pid, path, _log(stage)) for name, path in pages.items()})
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def fill(url: str, pictures: int, batches: int = 0) -> tuple[int, int, int, str]:
    """Make a batch of so many pictures, and others beside it; returns its number, first and last place, and a job."""
    with psycopg.connect(plain(url), autocommit=True) as connection:
        row = connection.execute(_BATCH, {"pictures": pictures}).fetchone()
        for first in range(1, pictures + 1, CHUNK):
            values = {
                "source": SOURCE, "target": TARGET, "batch": row[0] if row else None,
                "first": first, "last": min(first + CHUNK - 1, pictures),
            }  # fmt: skip
            connection.execute(_ROWS, values)
        connection.execute(_FLAGS, {"names": [name.value for name in CheckName], "every": FLAGGED})
        verdicts = {"every": REVIEWED, "approved": Verdict.APPROVED.value, "needs_work": Verdict.NEEDS_WORK.value}
        connection.execute(_VERDICTS, verdicts)
        connection.execute(_BESIDE, {"batches": batches, "approved": Verdict.APPROVED.value})
        connection.execute("VACUUM (ANALYZE)")
        found = connection.execute(_PLACES).fetchone()
    if found is None:
        raise RunError("no picture was made")
    return found[0], found[1], found[2], found[3]


def pages_of(places: tuple[int, int, int, str]) -> dict[str, str]:
    """What is loaded, and its address."""
    batch, first, last, job = places
    far = first + (last - first) * 9 // 10
    page = f"/batches/{batch}"
    return {
        "batches": "/batches",
        "batches, searched": "/batches?q=run+49",
        "batches by name": "/batches?sort=name",
        "batches by spend": "/batches?sort=spend",
        "batches by what needs you": "/batches?sort=needs_you&only=needs_you",
        "batches by what is unreviewed": "/batches?sort=unreviewed",
        "first page": page,
        "far page": f"{page}?after={far}",
        "failed": f"{page}?state=failed",
        "approved": f"{page}?verdict=approved",
        "approved, far": f"{page}?verdict=approved&after={far}",
        "unreviewed": f"{page}?verdict=unreviewed",
        "unreviewed, far": f"{page}?verdict=unreviewed&after={far}",
        "flagged": f"{page}?check=any",
        "flagged, worst first": f"{page}?check=any&sort=worst",
        "one check": f"{page}?check={CheckName.BLURRED.value}",
        "all, worst first": f"{page}?sort=worst",
        "newest": f"{page}?sort=newest",
        "filters combined": f"{page}?state=succeeded&verdict=needs_work&check=any&account=bench&operation=bench.make",
        "a part of a key": f"{page}?key=look+77",
        "a rare key": f"{page}?key=look+{last - first}",
        "job": f"/jobs/{job}",
    }


def _log(stage: Stage) -> Path:
    return stage.folder / "web.log"


@contextmanager
def _serving(stage: Stage) -> Iterator[tuple[http.client.HTTPConnection, int]]:
    """The web process, and a connection to it."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        port = listener.getsockname()[1]
    command = [sys.executable, "-m", "web", "--host", HOST, "--port", str(port)]
    environment = {**Recast().environment(stage), "RECAST_WEB_AUTH": SIGN_IN}
    with running(command, environment, log := _log(stage)) as process:
        connection = http.client.HTTPConnection(HOST, port, timeout=START_SECONDS)
        ends_at = time.monotonic() + START_SECONDS
        while True:
            try:
                connection.connect()
                break
            except OSError:
                if process.poll() is not None or time.monotonic() > ends_at:
                    raise RunError(f"the web process did not start. {tail(log)}") from None
                time.sleep(0.1)
        yield connection, process.pid
        connection.close()


def _load(web: http.client.HTTPConnection, pid: int, path: str, log: Path) -> Page:
    headers = {"Authorization": "Basic " + base64.b64encode(SIGN_IN.encode()).decode()}
    taken, size, before = [], 0, 0.0
    for number in range(WARM_UP + LOADS):
        if number == WARM_UP:
            before = cpu_seconds(pid)[0]
        began = time.perf_counter()
        web.request("GET", path, headers=headers)
        answer = web.getresponse()
        size = len(answer.read())
        if answer.status != HTTPStatus.OK:
            raise RunError(f"{path} was answered with HTTP {answer.status}. {tail(log)}")
        taken.append(time.perf_counter() - began)
    cuts = statistics.quantiles(taken[WARM_UP:], n=20, method="inclusive")
    cpu = (cpu_seconds(pid)[0] - before) / LOADS
    return Page(1e3 * cuts[9], 1e3 * cuts[18], 1e3 * cpu, size / 1e3)


def sentences(found: Gallery) -> Iterator[str]:
    """What people read of it."""
    yield f"A batch of {found.pictures:,} pictures:"
    for name, page in found.pages.items():
        yield (
            f"  {name}: p50 {page.p50_ms:.1f} ms, p95 {page.p95_ms:.1f} ms, {page.cpu_ms:.1f} ms of CPU,"
            f" {page.kilobytes:.0f} KB"
        )
