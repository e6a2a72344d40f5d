"""A fresh, migrated PostgreSQL database for each test, cloned from a template in a few hundredths of a second.

A pytest plugin: a test module names it in `pytest_plugins`, so that all modules share one server.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import pytest
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.orm import Session

import migrations
from devstack.servers import Servers
from models.batches import SINGLES
from models.connection import make_engine, make_sessions
from models.identity import client_reference
from tests.stack import wait_for, write_accounts
from workers.accounts import admission
from workers.config.accounts import Account, parse
from workers.config.settings import Settings
from workers.engine import begin, claims
from workers.engine.runtime import Runtime
from workers.messaging.app import app

P = ParamSpec("P")
T = TypeVar("T")

SECRET_KEY = "test-secret-key-of-32-characters"
ZHIQITE: Mapping[str, Any] = {
    "provider": "zhiqite",
    "base_url": "http://127.0.0.1:9",
    "access_key_id": "id",
    "access_key_secret": "secret",
}
THREADS = 24  # more than any test runs side by side


class Database:
    """One test's database: transactions, rows to begin with, and a look at what came of them."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = make_engine(url, connections=2 * THREADS)
        self.sessions = make_sessions(self.engine)
        self._threads = ThreadPoolExecutor(THREADS)

    def close(self) -> None:
        """End the threads and the connections."""
        self._threads.shutdown()
        self.engine.dispose()

    def run(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, ...)` in a transaction."""
        with self.sessions.begin() as session:
            return work(session, *args, **kwargs)

    def aside(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do `work` in a thread, for what will have to wait for something."""
        return self._threads.submit(work, *args, **kwargs)

    def wait_for_a_waiter(self) -> None:
        """Return when a transaction waits for another one's lock."""
        wait_for(self._waiting_for_locks, message="a transaction waits for a lock")

    def together(self, works: Iterable[Callable[[Session], T]]) -> list[T]:
        """Run each of `works` in a thread and a transaction of its own, all at the same time."""
        started = list(works)
        barrier = threading.Barrier(len(started))

        def one(work: Callable[[Session], T]) -> T:
            with self.sessions.begin() as session:
                session.connection()
                barrier.wait(30)
                return work(session)

        return list(self._threads.map(one, started))

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of a query, or of what a change returns."""
        with self.engine.begin() as connection:
            result = connection.execute(text(statement), parameters)
            return list(result) if result.returns_rows else []

    def one(self, statement: str, **parameters: Any) -> Any:
        """The one value of a query."""
        ((value,),) = self.sql(statement, **parameters)
        return value

    def account(self, name: str = "main", **table: Any) -> Account:
        """An account at Zhiqite with its row in the database."""
        account = parse(name, {**ZHIQITE, **table})
        self.run(admission.register, account)
        return account

    def batch(self, name: str = "batch", *, max_cost: str | None = None) -> int:
        """An open batch without jobs."""
        made: int = self.one(
            "INSERT INTO batches (name, max_cost) VALUES (:name, :cost) RETURNING id",
            name=name,
            cost=None if max_cost is None else Decimal(max_cost),
        )
        return made

    def jobs(self, number: int = 1, *, batch: int = SINGLES, state: str = "queued", **columns: Any) -> list[str]:
        """Ids of new jobs in `state`, in the order of their arrival; `columns` go into their rows."""
        first = self.one("SELECT count(*) FROM jobs")
        ids = [f"job-{first + offset:05}" for offset in range(number)]
        pictures = {"source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
        row = {"lane": "zhiqite.swap", "kind": "swap", **pictures} | columns | {"batch_id": batch, "state": state}
        with self.engine.begin() as connection:
            connection.execute(
                text(
                    f"INSERT INTO jobs (id, key, {', '.join(row)}) VALUES (:id, :id, {', '.join(f':{c}' for c in row)})"  # noqa: S608
                ),
                [{"id": job_id, **row} for job_id in ids],
            )
            if batch != SINGLES:
                statement = f"UPDATE batches SET {state} = {state} + :number WHERE id = :id"  # noqa: S608
                connection.execute(text(statement), {"number": number, "id": batch})
        return ids

    def attempt(self, job_id: str, state: str = "running", *, number: int = 1, **columns: Any) -> uuid.UUID:
        """The id of a new attempt, sent just now to the account `main`; `columns` are SQL and go into its row."""
        row = {
            "account": "'main'", "operation": "'zhiqite.swap'", "state": f"'{state}'", "sent_at": "clock_timestamp()",
            "deadline_at": "clock_timestamp() + interval '10 min'",
            "batch_id": "(SELECT batch_id FROM jobs WHERE id = :job)",
        } | columns  # fmt: skip
        reference = client_reference(job_id, number)
        self.sql(
            f"INSERT INTO attempts (id, job_id, number, {', '.join(row)})"  # noqa: S608
            f" VALUES (:id, :job, :number, {', '.join(map(str, row.values()))})",
            id=reference,
            job=job_id,
            number=number,
        )
        return reference

    def ready(self, claimed: Iterable[claims.Claim], cost: str = "0") -> list[begin.Ready]:
        """Claimed jobs as `prepare` would hand them on."""
        return [begin.Ready(claim, Decimal(cost), locator=None, callback_token=None) for claim in claimed]

    def start(self, account: Account, number: int = 1, cost: str = "0") -> begin.Begun:
        """Claim and begin up to `number` jobs, as one turn of a submit pump would."""
        ready = self.ready(self.run(claims.claim, account, number), cost)
        return self.run(begin.begin, account, ready)

    def spend(self) -> dict[str, Decimal]:
        """What is booked now, by scope; an account's day and month always agree."""
        found: dict[str, Decimal] = {}
        for row in self.sql("SELECT scope, amount FROM spend"):
            assert found.setdefault(row.scope, row.amount) == row.amount
        return found

    def counts(self, batch: int) -> dict[str, int]:
        """The counts that a batch keeps, held against its jobs."""
        true = {row.state: row.n for row in self.sql(
            "SELECT state, count(*) AS n FROM jobs WHERE batch_id = :id GROUP BY state", id=batch
        )}  # fmt: skip
        (row,) = self.sql(
            "SELECT queued, running, saving, succeeded, failed, rejected, canceled, held FROM batches WHERE id = :id",
            id=batch,
        )
        kept = {state: number for state, number in row._mapping.items() if number}
        assert kept == true, "a batch's counts are not those of its jobs"
        return kept

    def _waiting_for_locks(self) -> int:
        return int(
            self.one(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )


class Messages(list[tuple[str, tuple[Any, ...], dict[str, Any]]]):
    """What would have gone to the broker: task, arguments, keyword arguments."""

    @property
    def pumps(self) -> list[str]:
        """Names of the pumps that were woken."""
        return [f"{name}:{args[0]}" for name, args, _ in self if name in {"submit", "poll", "store"}]

    @property
    def announced(self) -> list[str]:
        """Jobs whose end is to be announced."""
        return [job_id for name, args, _ in self if name == "announce" for job_id in args[0]]


class Cluster:
    """One server, and the template of every test's database on it."""

    def __init__(self, url: str) -> None:
        self._url = make_url(url)
        self._admin: Engine = create_engine(self._url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        engine = make_engine(url)
        migrations.upgrade(engine)
        engine.dispose()

    def create(self, template: str | None = None) -> str:
        """The URL of a new database: a clone of the migrated one, or of `template`."""
        name = f"test_{uuid.uuid4().hex[:12]}"
        self._command(f"CREATE DATABASE {name} TEMPLATE {template or self._url.database} STRATEGY FILE_COPY")
        return self._url.set(database=name).render_as_string(hide_password=False)

    def drop(self, url: str) -> None:
        """Remove a database, whoever is still connected to it."""
        self._command(f"DROP DATABASE {make_url(url).database} WITH (FORCE)")

    @contextmanager
    def away(self, url: str) -> Iterator[None]:
        """A database that nobody can reach, as while its server restarts."""
        name = make_url(url).database
        self._command(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        try:
            self._command(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")  # noqa: S608
            yield
        finally:
            self._command(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")

    def close(self) -> None:
        self._admin.dispose()

    def _command(self, statement: str) -> None:
        with self._admin.connect() as connection:
            connection.execute(text(statement))


#: Files that are in memory on Linux. A database has four hundred files, and each test makes one and removes it: that
#: takes 0.02 s of CPU there, and 0.2 s on some disks.
MEMORY = Path("/dev/shm")  # noqa: S108 - folders in it have names that nobody knows before
ROOM = 2 * 1024**3  # bytes that must be free there; the servers of a process take a tenth


def _fast_place() -> Path | None:
    """Where files are in memory; None where there is no such place, or no room."""
    usable = MEMORY.is_dir() and os.access(MEMORY, os.W_OK | os.X_OK) and shutil.disk_usage(MEMORY).free >= ROOM
    return MEMORY if usable else None


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server of this test run's own."""
    with (
        tempfile.TemporaryDirectory(prefix="recast-test-", dir=_fast_place()) as folder,
        Servers(Path(folder) / "servers", durable=False) as servers,
    ):
        made = Cluster(servers.urls.database)
        yield made
        made.close()


@pytest.fixture
def database(cluster: Cluster, messages: Messages) -> Iterator[Database]:
    """A migrated database; what is published meanwhile goes nowhere."""
    made = Database(cluster.create())
    yield made
    made.close()
    cluster.drop(made.url)


@pytest.fixture(scope="module")
def lasting_database(cluster: Cluster) -> Iterator[Database]:
    """A migrated database for all tests of a module."""
    made = Database(cluster.create())
    yield made
    made.close()
    cluster.drop(made.url)


@pytest.fixture
def messages(monkeypatch: pytest.MonkeyPatch) -> Messages:
    """What the engine publishes, kept instead of sent."""
    sent = Messages()

    def send_task(name: str, args: Iterable[Any] = (), kwargs: Mapping[str, Any] | None = None, **_: Any) -> None:
        sent.append((name, tuple(args), dict(kwargs or {})))

    monkeypatch.setattr(app, "send_task", send_task)
    return sent


RuntimeFactory = Callable[..., Runtime]


@pytest.fixture
def make_runtime(database: Database, tmp_path: Path) -> Iterator[RuntimeFactory]:
    """Makes processes' runtimes on the database: settings, and by name what accounts have beyond `ZHIQITE`."""
    made: list[Runtime] = []

    def make(settings: Mapping[str, Any] | None = None, **accounts: Mapping[str, Any]) -> Runtime:
        given = {name: {**ZHIQITE, **table} for name, table in (accounts or {"main": {}}).items()}
        tables = {
            name: {key: value for key, value in table.items() if value is not None} for name, table in given.items()
        }
        write_accounts(tmp_path / "accounts.toml", tables)
        values: dict[str, Any] = {
            "database_url": database.url, "broker_url": "redis://127.0.0.1:1/0", "home": tmp_path,
            "accounts_file": tmp_path / "accounts.toml", "secret_key": SECRET_KEY, "public_url": "http://127.0.0.1:9",
            "public_url_check": "off", "check_addresses": False,
        }  # fmt: skip
        made.append(Runtime(Settings(**values | dict(settings or {}))))
        assert made[-1].accounts.keys() == tables.keys()
        return made[-1]

    yield make
    for runtime in made:
        loop = runtime._loop
        runtime.close()
        if loop is not None:
            _close(loop)


def _close(loop: asyncio.AbstractEventLoop) -> None:
    wait_for(lambda: not loop.is_running(), message="the runtime's loop has stopped")
    loop.close()
