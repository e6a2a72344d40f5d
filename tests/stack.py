"""A whole deployment for tests: real servers, the sandbox, worker processes, and a view of the database."""

from __future__ import annotations

import atexit
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

from redis import Redis
from sqlalchemy import Engine, text

import migrations
from devstack.servers import Servers
from models.connection import make_engine
from sandbox import Sandbox, SandboxConfig, sandbox_accounts
from workers.config.accounts import load
from workers.jobs import request, routing
from workers.messaging.app import QUEUES

ROOT = Path(__file__).parent.parent
PORTRAITS = ROOT / "examples" / "portraits"
T = TypeVar("T")


def crowding() -> float:
    """How many processes want each core of this machine, by the load of the last minute; 1 where none has to wait.

    Every figure in seconds is one of a machine with nothing else to do. Beside a second run of the tests all of them
    are this many times as long.
    """
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_for(what: Callable[[], T], *, timeout: float = 30.0, every: float = 0.05, message: str = "") -> T:
    """The first truthy answer of `what`; fails the test when none comes in time, which is longer on a crowded machine.

    Args:
        what: looked at again and again.
        timeout: seconds, on a machine with nothing else to do.
        every: seconds between looks.
        message: what is waited for.
    """
    began, allowed = time.monotonic(), timeout
    while True:
        answer = what()
        if answer:
            return answer
        allowed = max(allowed, timeout * crowding())
        if time.monotonic() > began + allowed:
            raise AssertionError(f"{message or what} did not come true within {allowed:.0f} s; last: {answer!r}")
        time.sleep(every)


def toml(value: Any) -> str:
    """A TOML value; enough for accounts files."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


def write_accounts(path: Path, accounts: Mapping[str, Mapping[str, Any]]) -> None:
    """Write an accounts file."""
    lines = []
    for name, table in accounts.items():
        lines.append(f"[accounts.{name}]")
        lines += [f"{key} = {toml(value)}" for key, value in table.items()]
    path.write_text("\n".join(lines) + "\n")


class Worker:
    """One worker process."""

    def __init__(self, stack: Stack, name: str, queues: Sequence[str] = QUEUES, **env: str) -> None:
        self.stack, self.name, self._queues, self._env = stack, name, queues, env
        self.log = stack.home / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self._log_begins = 0  # what an earlier process of this name has written comes before it

    def start(self) -> Worker:
        command = [
            sys.executable, "-m", "celery", "-A", "tasks.main", "worker", "-P", "threads",
            "-c", self.stack.env["RECAST_SLOTS"], "-Q", ",".join(self._queues), "-n", f"{self.name}@test",
            "--without-gossip", "--without-mingle", "-l", "INFO",
        ]  # fmt: skip
        with self.log.open("ab") as log:
            self._log_begins = log.tell()
            self.process = subprocess.Popen(
                command, cwd=ROOT, env={**self.stack.env, **self._env}, stdout=log, stderr=log
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Signal the process and wait for its end."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(number)
        self.process.wait(60)

    def wait_ready(self) -> None:
        wait_for(lambda: b"ready." in self.log.read_bytes()[self._log_begins :], message=f"{self.log} says ready")


class Stack:
    """Servers, sandbox, accounts and the environment that processes of this deployment get."""

    def __init__(self, home: Path, servers: Servers, sandbox: Sandbox, **settings: str) -> None:
        self.home, self.servers, self.sandbox = home, servers, sandbox
        self.accounts = sandbox_accounts(sandbox.url)
        self.accounts_file = home / "accounts.toml"
        write_accounts(self.accounts_file, self.accounts)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECAST_")},
            "RECAST_DATABASE_URL": servers.urls.database,
            "RECAST_BROKER_URL": servers.urls.broker,
            "RECAST_RESULT_URL": servers.urls.results,
            "RECAST_STORAGE_URL": str(home / "pictures"),
            "RECAST_ACCOUNTS_FILE": str(self.accounts_file),
            "RECAST_HOME": str(home / "home"),
            "RECAST_SECRET_KEY": "test-secret-key-of-32-characters",
            "RECAST_SLOTS": "16",
            "RECAST_SWEEP_EVERY": "1",
            "RECAST_VISIBILITY_TIMEOUT": "90",
            # The sandbox fetches no cheap inputs, so in most tests nothing listens at the public URL, and addresses of
            # pictures are made up.
            "RECAST_PUBLIC_URL_CHECK": "off",
            "RECAST_CHECK_ADDRESSES": "false",
            # Most pictures are cheap ones, of which there is nothing to say.
            "RECAST_CHECKS": "off",
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "default",
            **settings,
        }
        self.engine: Engine = make_engine(self.env["RECAST_DATABASE_URL"])
        self.workers: list[Worker] = []
        self._others: list[subprocess.Popen[bytes]] = []
        Path(self.env["RECAST_HOME"]).mkdir(parents=True, exist_ok=True)
        migrations.upgrade(self.engine)

    @cached_property
    def redis(self) -> Redis:
        """A client of the broker."""
        client: Redis = Redis.from_url(self.env["RECAST_BROKER_URL"])
        return client

    def configure(self, **accounts: Mapping[str, Any]) -> None:
        """Change accounts: ``configure(**{"sandbox-zhiqite": {"max_in_flight": 5}})``."""
        for name, table in accounts.items():
            self.accounts[name] = {**self.accounts[name], **table}
        write_accounts(self.accounts_file, self.accounts)

    def only(self, *names: str) -> None:
        """Keep only these accounts."""
        self.accounts = {name: table for name, table in self.accounts.items() if name in names}
        write_accounts(self.accounts_file, self.accounts)

    def worker(self, name: str = "worker", **more: Any) -> Worker:
        """Start a worker process."""
        made = Worker(self, name, **more).start()
        self.workers.append(made)
        return made

    def beat(self) -> subprocess.Popen[bytes]:
        """Start a beat process; it ends with the stack."""
        command = [sys.executable, "-m", "celery", "-A", "tasks.main", "beat", "-l", "INFO", "--pidfile="]
        with (self.home / "beat.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self._others.append(process)
        return process

    def web(self, port: int, *, wait: bool = True) -> subprocess.Popen[bytes]:
        """Start the web process on `port`, and wait until it listens; it ends with the stack."""
        command = [sys.executable, "-m", "web", "--host=127.0.0.1", f"--port={port}"]
        with (self.home / "web.log").open("ab") as log:
            process = subprocess.Popen(command, cwd=ROOT, env=self.env, stdout=log, stderr=log)
        self._others.append(process)
        if wait:
            wait_for(lambda: _listens(port), message="the web process listens")
        return process

    def insert(self, asks: Sequence[request.JobRequest], batch: str = "test") -> int:
        """Put jobs into a batch directly, as a catalog would; returns the batch's id."""
        accounts = load(self.accounts_file)
        reach = routing.Reach(public_url=True, presigned=False)
        rows = [
            {
                "id": f"{batch}-{number}", "key": str(number), "kind": ask.kind, "source": ask.source,
                "target": ask.target, "image": ask.image, "prompt": ask.prompt,
                "options": json.dumps(dict(ask.options)), "lane": routing.route(ask, accounts, reach),
            }
            for number, ask in enumerate(asks)
        ]  # fmt: skip
        with self.engine.begin() as connection:
            batch_id: int = connection.execute(
                text("INSERT INTO batches (name, queued) VALUES (:name, :queued) RETURNING id"),
                {"name": batch, "queued": len(rows)},
            ).scalar_one()
            connection.execute(
                text(
                    "INSERT INTO jobs (id, kind, source, target, image, prompt, options, lane, batch_id, key) VALUES"
                    " (:id, :kind, :source, :target, :image, :prompt, cast(:options AS jsonb), :lane, :batch_id, :key)"
                ),
                [{**row, "batch_id": batch_id} for row in rows],
            )
        return batch_id

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        """Rows of a query."""
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), parameters))

    def states(self) -> Counter[str]:
        """Jobs by state."""
        return Counter({row.state: row.n for row in self.sql("SELECT state, count(*) AS n FROM jobs GROUP BY state")})

    def wait_settled(self, *, timeout: float = 60.0) -> Counter[str]:
        """Wait until no job needs a worker any more."""

        def settled() -> Counter[str] | None:
            states = self.states()
            return states if states and not states["queued"] + states["running"] + states["saving"] else None

        try:
            return wait_for(settled, timeout=timeout) or Counter()
        except AssertionError:
            open_attempts = self.sql(
                "SELECT a.account, a.state, j.state AS job, count(*), min(a.next_poll_at), min(a.deadline_at),"
                " max(a.error) FROM attempts a JOIN jobs j ON j.id = a.job_id"
                " WHERE j.state IN ('queued', 'running', 'saving')"
                " GROUP BY 1, 2, 3"
            )
            raise AssertionError(f"jobs did not settle within {timeout} s: {self.states()}; {open_attempts}") from None

    def broker_messages(self) -> dict[str, int]:
        """Messages in the broker: waiting in each queue, and delivered but not acknowledged (ETA ones among them)."""
        counts = {queue: int(self.redis.llen(queue)) for queue in (*QUEUES, "celery")}
        counts["unacked"] = int(self.redis.hlen("unacked"))
        return counts

    def close(self) -> None:
        for worker in self.workers:
            worker.kill()
        for process in self._others:
            process.kill()
            process.wait(30)
        self.engine.dispose()
        if "redis" in self.__dict__:
            self.redis.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@cache
def migrated() -> Path:
    """A home of servers that are stopped, with a migrated database: copying it is quicker than making each one."""
    made = Path(tempfile.mkdtemp(prefix="recast-tests-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    with Servers(made, durable=False) as servers:
        engine = make_engine(servers.urls.database)
        migrations.upgrade(engine)
        engine.dispose()
    (made / "run.json").unlink()  # each copy finds ports of its own
    return made


@contextmanager
def running(home: Path, config: SandboxConfig | None = None, **settings: str) -> Iterator[Stack]:
    """A deployment in `home`, without workers yet."""
    home.mkdir(parents=True, exist_ok=True)
    if not (home / "servers").exists():
        shutil.copytree(migrated(), home / "servers")
    with (
        Servers(home / "servers", durable=False) as servers,
        Sandbox(config or SandboxConfig(home=home / "sandbox")) as sandbox,
    ):
        stack = Stack(home, servers, sandbox, **settings)
        try:
            yield stack
        finally:
            stack.close()
