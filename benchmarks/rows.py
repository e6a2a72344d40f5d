"""The suite `rows`: what jobs cost, and how long claims take, in a database of finished jobs against an empty one.

PostgreSQL has its own default settings, as a server that nobody tuned. Every run works on a fresh copy of one of two
databases, so that all runs of a kind begin alike; the copies alternate, so that the machine's moods meet both.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psycopg
from redis import Redis

from benchmarks import aged, held
from benchmarks.contestants import LATENCY_SECONDS
from benchmarks.figures import Figures
from benchmarks.held import Claims
from benchmarks.lineup import Recast, Stage, write_accounts
from benchmarks.processes import Stub
from benchmarks.runner import work
from devstack.servers import Servers, Urls

FINISHED, SHORT_FINISHED = 3_000_000, 100_000  # jobs
#: Jobs that pass through the queue while the transaction is held: in 30 minutes at 500 a second, as one worker does.
PASSED, SHORT_PASSED = 900_000, 50_000
ROUNDS, SHORT_ROUNDS = 5, 2
RUN_SECONDS, SHORT_RUN_SECONDS = 42.0, 25.0
EMPTY, AGED = "empty", "aged"  # databases that runs get copies of
RUN = "run"  # the copy


class _OfTheBacklog(Recast):
    """Recast, of whose jobs only those of its own batch are counted."""

    finished = Recast.finished.replace("WHERE", "WHERE batch_id = (SELECT id FROM batches WHERE name = 'bench') AND")


@dataclass(frozen=True, slots=True)
class Rows:
    """What was found."""

    finished: int
    rounds: Sequence[Mapping[str, Figures]]
    #: Claims while no transaction is held open, and while one is.
    clean: Claims
    held: Claims
    #: Bytes of the aged database's tables and indexes.
    sizes: Mapping[str, int]

    def median(self, database: str, figure: str) -> float:
        """The median of a figure over the rounds."""
        return float(statistics.median(getattr(found[database], figure) for found in self.rounds))

    def ratio(self, figure: str) -> float:
        """The median of a figure's ratio, aged to empty, within each round."""
        ratios = (getattr(found[AGED], figure) / getattr(found[EMPTY], figure) for found in self.rounds)
        return float(statistics.median(ratios))

    def document(self) -> dict[str, Any]:
        """The figures as JSON."""
        figures = ("jobs_per_s", "cpu_ms_per_job", "database_cpu_ms_per_job")
        return {
            "finished": self.finished,
            **{kind: {figure: self.median(kind, figure) for figure in figures} for kind in (EMPTY, AGED)},
            "ratios": {figure: self.ratio(figure) for figure in figures},
            "claims": {"clean": asdict(self.clean), "held": asdict(self.held)},
            "sizes": dict(self.sizes),
            "rounds": [{name: asdict(found) for name, found in each.items()} for each in self.rounds],
        }


def measure(*, short: bool, rounds: int | None = None, finished: int | None = None) -> Rows:
    """Make both databases, let Recast work on copies of them in turns, and measure claims.

    Raises:
        RunError: Recast did not do its work.
        TooFewError: it completed too little.
    """
    finished = finished if finished is not None else SHORT_FINISHED if short else FINISHED
    seconds = SHORT_RUN_SECONDS if short else RUN_SECONDS
    folder = Path(tempfile.mkdtemp(prefix="recast-bench-"))
    try:
        with Servers(folder / "servers", tuned=False) as servers:
            recast = _Copied(folder, servers)
            recast.make(EMPTY, 0)
            recast.make(AGED, finished)
            found = []
            for number in range(rounds or (SHORT_ROUNDS if short else ROUNDS)):
                pair = (EMPTY, AGED) if number % 2 == 0 else (AGED, EMPTY)
                found.append({kind: recast.run(kind, seconds, number + 1) for kind in pair})
            passed = SHORT_PASSED if short else PASSED
            with recast.copy(AGED) as url:
                sizes = aged.sizes(url)
                clean = held.measure(url, passed, hold=False)
            with recast.copy(AGED) as url:
                under = held.measure(url, passed, hold=True)
            return Rows(finished, found, clean, under, sizes)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Copied:
    """Recast on copies of databases of one server."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self._folder, self._servers = folder, servers
        self._admin = aged.plain(servers.urls.database)

    def make(self, name: str, finished: int) -> None:
        """Make a database with Recast's backlog and so many finished jobs."""
        _say(f"{name}: {finished:,} finished jobs ...")
        self._execute(f"CREATE DATABASE {name}")
        Recast().prepare(Stage(self._folder, self._urls(name), "http://127.0.0.1:1"))
        aged.fill(self._url(name), finished)

    @contextmanager
    def copy(self, name: str) -> Iterator[str]:
        """The address of a fresh copy of a database."""
        self._execute(f"CREATE DATABASE {RUN} TEMPLATE {name} STRATEGY file_copy")
        try:
            yield self._url(RUN)
        finally:
            self._execute(f"DROP DATABASE {RUN} WITH (FORCE)")

    def run(self, name: str, seconds: float, number: int) -> Figures:
        """One run on a copy."""
        _say(f"round {number}: {name}, {seconds:g} s ...")
        Redis.from_url(self._servers.urls.broker).flushall()  # a copy has the same jobs as the one before it
        recast = _OfTheBacklog()
        with self.copy(name), Stub(LATENCY_SECONDS) as stub:
            stage = Stage(self._folder, self._urls(RUN), stub.url)
            write_accounts(stage, recast.ACCOUNT)
            found = work(recast, stage, lambda: None, self._servers.pids, stub, seconds)
        _say(
            f"    {found.jobs_per_s:.0f} jobs/s, {found.cpu_ms_per_job:.2f} ms of the worker's CPU a job and"
            f" {found.database_cpu_ms_per_job:.2f} of PostgreSQL's; {found.other_load:.1f} cores busy with other things"
        )
        return found

    def _url(self, name: str) -> str:
        return self._servers.urls.database.rpartition("/")[0] + f"/{name}"

    def _urls(self, name: str) -> Urls:
        return Urls(self._url(name), self._servers.urls.broker, self._servers.urls.results)

    def _execute(self, statement: str) -> None:
        with psycopg.connect(self._admin, autocommit=True) as connection:
            connection.execute(statement.encode())


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def sentences(found: Rows) -> Iterator[str]:
    """What people read of it."""
    for kind, title in ((EMPTY, "empty"), (AGED, f"{found.finished:,} finished jobs")):
        yield (
            f"{title}: {found.median(kind, 'jobs_per_s'):.0f} jobs/s, {found.median(kind, 'cpu_ms_per_job'):.2f} ms of"
            f" the worker's CPU a job and {found.median(kind, 'database_cpu_ms_per_job'):.2f} ms of PostgreSQL's"
        )
    for title, claims in (("claims", found.clean), ("claims beside a transaction held open", found.held)):
        yield f"{title}, after {claims.passed:,} jobs: {claims.words}"
