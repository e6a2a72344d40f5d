"""The setup, start and results of each contestant: the benchmark's side of `benchmarks.contestants`."""

from __future__ import annotations

import json
import sys
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from celery import Celery
from redis import Redis
from sqlalchemy import Connection, text

import migrations
from benchmarks import table
from benchmarks.contestants import (
    BROKER_URL,
    DATABASE_URL,
    IN_FLIGHT,
    LATENCY_SECONDS,
    POLL_SECONDS,
    PROVIDER_URL,
    SOURCE,
    TARGET,
)
from benchmarks.provider import OPERATION, Bench
from devstack.servers import Urls
from models.connection import make_engine
from workers.accounts.latency import Latencies
from workers.jobs.lanes import lane_of


@dataclass(frozen=True, slots=True)
class Stage:
    """What one contestant is given: fresh servers, a fresh provider, and a folder."""

    folder: Path
    urls: Urls
    provider_url: str


#: Called a few times a second while a contestant works.
Feed = Callable[[], None]


class Contestant(Protocol):
    """One way to do the work."""

    name: str
    #: Its short description in the report.
    title: str
    #: Query for the Unix times at which its jobs were finished, ascending.
    finished: str

    def prepare(self, stage: Stage) -> Feed:
        """Make its tables and its backlog; returns what keeps the backlog from running dry."""
        ...

    def command(self) -> list[str]:
        """The program that works until it is terminated."""
        ...

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The program's environment variables."""
        ...


def _environment(stage: Stage) -> dict[str, str]:
    return {
        DATABASE_URL: stage.urls.database,
        BROKER_URL: stage.urls.broker,
        PROVIDER_URL: stage.provider_url,
    }


def _make_table(stage: Stage) -> None:
    engine = make_engine(stage.urls.database)
    table.metadata.create_all(engine)
    engine.dispose()


def _no_need() -> None:
    """The whole backlog is there from the start."""


_FINISHED_ROWS = "SELECT extract(epoch FROM finished_at)::float8 FROM jobs WHERE finished_at IS NOT NULL ORDER BY 1"


class IdiomaticCelery:
    """`benchmarks.contestants.celery_idiomatic` in one of Celery's pools."""

    finished = _FINISHED_ROWS

    #: Messages of new jobs that wait: more than are taken between two feeds, and so few that a retry, which goes to
    #: the end of the queue, waits for a second or two behind them.
    BACKLOG = 300

    def __init__(self, pool: str, concurrency: int) -> None:
        self.name = f"celery_{pool}"
        self.title = f"Celery, {pool} of {concurrency}"
        self._pool, self._concurrency = pool, concurrency

    def prepare(self, stage: Stage) -> Feed:
        """Make its table, and send the first messages; further ones are sent as they are used up."""
        _make_table(stage)
        app = Celery("feeder", broker=stage.urls.broker, set_as_current=False)
        broker = Redis.from_url(stage.urls.broker)

        def feed() -> None:
            with app.producer_pool.acquire(block=True) as producer:
                for _ in range(self.BACKLOG - broker.llen("celery")):
                    job_id = str(uuid.uuid4())
                    app.send_task("make", args=(job_id, SOURCE, TARGET), task_id=job_id, producer=producer)

        feed()
        return feed

    def command(self) -> list[str]:
        """A worker without the features that a single worker does not need."""
        return [
            sys.executable, "-m", "celery", "-A", "benchmarks.contestants.celery_idiomatic", "worker",
            "-P", self._pool, "-c", str(self._concurrency),
            "--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "WARNING",
        ]  # fmt: skip

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return _environment(stage)


class BareLoop:
    """`benchmarks.contestants.bare_loop`."""

    name = "bare_loop"
    title = "bare asyncio loop"
    finished = _FINISHED_ROWS

    def prepare(self, stage: Stage) -> Feed:
        """Make its table; the jobs it makes up itself."""
        _make_table(stage)
        return _no_need

    def command(self) -> list[str]:
        """The program."""
        return [sys.executable, "-m", "benchmarks.contestants.bare_loop"]

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return _environment(stage)


class Recast:
    """Recast with one worker process and default settings."""

    name = "recast"
    title = "Recast, one worker"
    finished = (
        "SELECT extract(epoch FROM finished_at)::float8 FROM jobs WHERE state = 'succeeded' AND finished_at IS NOT NULL"
        " ORDER BY 1"
    )

    ACCOUNT = "bench"
    SLOTS = 16
    #: Jobs that wait, in one batch as after `recast run`: more than can be made in the longest run.
    BACKLOG = 100_000

    def prepare(self, stage: Stage) -> Feed:
        """Make the schema and the accounts file, and put a catalog's jobs into the queue."""
        self._accounts(stage).write_text(
            f'[accounts.{self.ACCOUNT}]\nprovider = "{Bench.NAME}"\nbase_url = "{stage.provider_url}"\n'
            f'max_in_flight = {IN_FLIGHT}\npoll_every = "{POLL_SECONDS:g}s"\n'
        )
        engine = make_engine(stage.urls.database)
        migrations.upgrade(engine)
        with engine.begin() as connection:
            self._add_account(connection)
            self._add_backlog(connection)
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        engine.dispose()
        return _no_need

    def _add_account(self, connection: Connection) -> None:
        connection.execute(
            text("INSERT INTO accounts (name, provider, latency) VALUES (:name, :provider, cast(:latency AS jsonb))"),
            {
                "name": self.ACCOUNT,
                "provider": Bench.NAME,
                # Measured before, as the other contestants get it as a setting.
                "latency": json.dumps(Latencies({OPERATION: LATENCY_SECONDS}).as_document()),
            },
        )

    def _add_backlog(self, connection: Connection) -> None:
        batch_id = connection.execute(
            text("INSERT INTO batches (name, queued) VALUES ('bench', :number) RETURNING id"),
            {"number": self.BACKLOG},
        ).scalar_one()
        connection.execute(
            text(
                "INSERT INTO jobs (id, kind, source, target, lane, batch_id, key)"
                " SELECT gen_random_uuid()::text, 'swap', :source, :target, :lane, :batch_id, number::text"
                " FROM generate_series(1, :number) AS number"
            ),
            {
                "source": SOURCE,
                "target": TARGET,
                "lane": lane_of(None, [OPERATION]),
                "batch_id": batch_id,
                "number": self.BACKLOG,
            },
        )

    def command(self) -> list[str]:
        """The worker that `recast worker` starts, with the embedded beat that sends the sweeps."""
        return [
            sys.executable, "-m", "celery", "-A", "benchmarks.contestants.recast_worker", "worker", "-B",
            "-P", "threads", "-c", str(self.SLOTS), "-Q", "jobs,pumps,files,beat",
            "--without-gossip", "--without-mingle", "-l", "INFO",
        ]  # fmt: skip

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """A deployment's settings; everything else has its default."""
        return {
            "RECAST_DATABASE_URL": stage.urls.database,
            "RECAST_BROKER_URL": stage.urls.broker,
            "RECAST_RESULT_URL": stage.urls.results,
            "RECAST_ACCOUNTS_FILE": str(self._accounts(stage)),
            "RECAST_HOME": str(stage.folder),
            "RECAST_SLOTS": str(self.SLOTS),
            "RECAST_SECRET_KEY": uuid.uuid4().hex,
            "RECAST_CHECK_ADDRESSES": "false",  # the pictures are made up, and the other contestants look at none
        }

    @staticmethod
    def _accounts(stage: Stage) -> Path:
        return stage.folder / "accounts.toml"
