"""The setup, start and results of each contestant: the benchmark's side of `benchmarks.contestants`."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

from celery import Celery
from dramatiq import Message
from dramatiq.brokers.redis import RedisBroker
from redis import Redis
from sqlalchemy import Connection, text

import migrations
from benchmarks import table
from benchmarks.contestants import (
    BROKER_URL,
    DATABASE_URL,
    IN_FLIGHT,
    PICTURES,
    POLL_SECONDS,
    PROVIDER_URL,
    SOURCE,
    TARGET,
    THUMBNAILS,
)
from benchmarks.ids import job_id
from benchmarks.provider import OPERATION, Bench
from benchmarks.stub import HOST
from devstack.servers import Urls
from models.connection import make_engine
from workers.jobs.lanes import lane_of


@dataclass(frozen=True, slots=True)
class Stage:
    """What one contestant is given: fresh servers, a fresh provider, and a folder."""

    folder: Path
    urls: Urls
    provider_url: str
    #: Whether results are files, which are kept.
    pictures: bool = False

    @property
    def kept(self) -> Path:
        """Where they are kept."""
        return self.folder / "pictures"


BATCH = "bench"  # the backlog's

#: Called a few times a second while a contestant works.
Feed = Callable[[], None]


class Contestant(Protocol):
    """One way to do the work."""

    name: str
    #: Its short description in the report.
    title: str
    #: Query for the Unix times at which its jobs were finished, ascending.
    finished: str
    #: Its name in `benchmarks.producer`, where a producer sends its jobs and waits for them; otherwise empty. Then a
    #: job is finished when the producer has its result.
    producer: str
    #: Jobs that this producer waits for at a time: enough to keep the contestant busy, by Little's law. More of them
    #: would only lie in its queue, where Celery's and Dramatiq's repeated messages wait behind the new ones.
    outstanding: int
    #: What every deployment of Recast does by default and this contestant does not, where it is one.
    without: Sequence[str]

    def prepare(self, stage: Stage) -> Feed:
        """Make its tables and its backlog; returns what keeps the backlog from running dry."""
        ...

    def command(self) -> list[str]:
        """The program that works until it is terminated."""
        ...

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The program's environment variables."""
        ...


def accounts_file(stage: Stage) -> Path:
    """Recast's accounts file."""
    return stage.folder / "accounts.toml"


def write_accounts(stage: Stage, *names: str, more: str = "") -> None:
    """Write Recast's accounts file: accounts at the stub, each with room for everything, and `more` lines."""
    accounts_file(stage).write_text(
        "".join(
            f'[accounts.{name}]\nprovider = "{Bench.NAME}"\nbase_url = "{stage.provider_url}"\n'
            f'max_in_flight = {IN_FLIGHT}\npoll_every = "{POLL_SECONDS:g}s"\nallow_hosts = ["{HOST}"]\n{more}'
            for name in names
        )
    )


def add_backlog(
    connection: Connection, number: int, account: str | None = None, inputs: tuple[str, str] = (SOURCE, TARGET)
) -> None:
    """Put jobs into Recast's queue, in one batch as after `recast run`.

    Args:
        connection: to its database.
        number: of the jobs.
        account: that they are for; any, unless it is named.
        inputs: the source, and the target, in which {} stands for a job's number.
    """
    source, target = inputs
    batch_id = connection.execute(
        text("INSERT INTO batches (name, queued) VALUES (:name, :number) RETURNING id"),
        {"name": BATCH if account is None else f"{BATCH} {account}", "number": number},
    ).scalar_one()
    connection.execute(
        text(
            "INSERT INTO jobs (id, kind, source, target, account, lane, batch_id, key)"
            f" SELECT {job_id(':batch_id')}, 'swap', :source, replace(:target, '{{}}', number::text), :account,"
            " :lane, :batch_id, number::text"
            " FROM generate_series(1, :number) AS number"
        ),
        {
            "source": source,
            "target": target,
            "account": account,
            "lane": lane_of(account, [OPERATION]),
            "batch_id": batch_id,
            "number": number,
        },
    )


def environment_of(stage: Stage) -> dict[str, str]:
    """What the contestants other than deployments of Recast are told."""
    return {
        DATABASE_URL: stage.urls.database,
        BROKER_URL: stage.urls.broker,
        PROVIDER_URL: stage.provider_url,
        **({PICTURES: str(stage.kept)} if stage.pictures else {}),
    }


def make_table(stage: Stage) -> None:
    """Make the table of the contestants that have no schema of their own."""
    engine = make_engine(stage.urls.database)
    table.metadata.create_all(engine)
    engine.dispose()


def no_need() -> None:
    """The whole backlog is there from the start."""


FINISHED_ROWS = "SELECT extract(epoch FROM finished_at)::float8 FROM jobs WHERE finished_at IS NOT NULL ORDER BY 1"


class IdiomaticCelery:
    """`benchmarks.contestants.celery_idiomatic` in one of Celery's pools."""

    finished = FINISHED_ROWS
    producer = ""
    outstanding = 0
    without: Sequence[str] = ()

    #: Messages of new jobs that wait: more than are taken between two feeds, and so few that a retry, which goes to
    #: the end of the queue, waits for a second or two behind them.
    BACKLOG = 300

    def __init__(self, pool: str, concurrency: int, *, thumbnails: bool = False) -> None:
        self.name = f"celery_{pool}" + "_thumbnails" * thumbnails
        self.title = f"Celery, {pool} of {concurrency}" + ", with thumbnails" * thumbnails
        self._pool, self._concurrency, self._thumbnails = pool, concurrency, thumbnails

    def prepare(self, stage: Stage) -> Feed:
        """Make its table, and send the first messages; further ones are sent as they are used up."""
        make_table(stage)
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
        return environment_of(stage) | ({THUMBNAILS: "1"} if self._thumbnails else {})


class Dramatiq:
    """`benchmarks.contestants.dramatiq_idiomatic`, with as many processes as there are cores."""

    name = "dramatiq"
    finished = FINISHED_ROWS
    producer = ""
    outstanding = 0
    without: Sequence[str] = ()

    BACKLOG = 300  # as of Celery
    QUEUE = "default"

    def __init__(self, processes: int, threads: int) -> None:
        self.title = f"Dramatiq, {processes} processes of {threads}"
        self._processes, self._threads = processes, threads

    def prepare(self, stage: Stage) -> Feed:
        """Make its table, and send the first messages; further ones are sent as they are used up."""
        make_table(stage)
        broker = RedisBroker(url=stage.urls.broker)  # type: ignore[no-untyped-call]
        broker.declare_queue(self.QUEUE)
        waiting = f"{broker.namespace}:{self.QUEUE}"

        def feed() -> None:
            for _ in range(self.BACKLOG - broker.client.llen(waiting)):
                job = (str(uuid.uuid4()), SOURCE, TARGET)
                broker.enqueue(Message(queue_name=self.QUEUE, actor_name="make", args=job, kwargs={}, options={}))

        feed()
        return feed

    def command(self) -> list[str]:
        """The worker."""
        return [
            sys.executable, "-m", "dramatiq", "benchmarks.contestants.dramatiq_idiomatic",
            "--processes", str(self._processes), "--threads", str(self._threads),
        ]  # fmt: skip

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return environment_of(stage)


class BareLoop:
    """`benchmarks.contestants.bare_loop`."""

    name = "bare_loop"
    title = "bare asyncio loop"
    finished = FINISHED_ROWS
    producer = ""
    outstanding = 0
    without: Sequence[str] = ()

    def prepare(self, stage: Stage) -> Feed:
        """Make its table; the jobs it makes up itself."""
        make_table(stage)
        return no_need

    def command(self) -> list[str]:
        """The program."""
        return [sys.executable, "-m", "benchmarks.contestants.bare_loop"]

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """The addresses of the servers and of the provider."""
        return environment_of(stage)


class Recast:
    """Recast with one worker process, and without what no other contestant does; everything else has its default."""

    name = "recast"
    title = "Recast, one worker"
    finished = (
        "SELECT extract(epoch FROM finished_at)::float8 FROM jobs WHERE state = 'succeeded' AND finished_at IS NOT NULL"
        " ORDER BY 1"
    )
    producer = ""
    outstanding = 0
    without: Sequence[str] = ("looks at the addresses of inputs before they are paid for", "quality checks")
    #: Switches these off.
    OFF: Mapping[str, str] = MappingProxyType({"RECAST_CHECK_ADDRESSES": "false", "RECAST_CHECKS": "off"})

    ACCOUNT = "bench"
    SLOTS = 16
    #: Jobs that wait, in one batch as after `recast run`: more than can be made in the longest run.
    BACKLOG = 100_000

    def prepare(self, stage: Stage) -> Feed:
        """Make the schema and the accounts file, and put a catalog's jobs into the queue."""
        self.write_accounts(stage)
        engine = make_engine(stage.urls.database)
        migrations.upgrade(engine)
        with engine.begin() as connection:
            self.add_account(connection)
            add_backlog(connection, self.BACKLOG, inputs=self.inputs(stage))
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        engine.dispose()
        return no_need

    def write_accounts(self, stage: Stage) -> None:
        """Write the accounts file."""
        write_accounts(stage, self.ACCOUNT)

    def inputs(self, _stage: Stage) -> tuple[str, str]:
        """The jobs' inputs, as `add_backlog` takes them."""
        return SOURCE, TARGET

    def add_account(self, connection: Connection, name: str = ACCOUNT) -> None:
        """Write an account's row."""
        connection.execute(
            text("INSERT INTO accounts (name, provider) VALUES (:name, :provider)"),
            {"name": name, "provider": Bench.NAME},
        )

    def command(self) -> list[str]:
        """The worker that `recast worker` starts, with the embedded beat that sends the sweeps."""
        return [
            sys.executable, "-m", "celery", "-A", "benchmarks.contestants.recast_worker", "worker", "-B",
            "-P", "threads", "-c", str(self.SLOTS), "-Q", "jobs,pumps,files,beat",
            "--without-gossip", "--without-mingle", "-l", "INFO",
        ]  # fmt: skip

    def environment(self, stage: Stage) -> Mapping[str, str]:
        """A deployment's settings."""
        return {
            "RECAST_DATABASE_URL": stage.urls.database,
            "RECAST_BROKER_URL": stage.urls.broker,
            "RECAST_RESULT_URL": stage.urls.results,
            "RECAST_ACCOUNTS_FILE": str(accounts_file(stage)),
            "RECAST_HOME": str(stage.folder),
            **({PICTURES: str(stage.kept), "RECAST_STORAGE_URL": str(stage.kept)} if stage.pictures else {}),
            "RECAST_SLOTS": str(self.SLOTS),
            "RECAST_SECRET_KEY": uuid.uuid4().hex,
            **self.OFF,
        }
