"""The embedded servers: PostgreSQL and Valkey in one folder, for the life of one process.

    with Servers(Path(".recast")) as servers:
        create_engine(servers.urls.database)

The first process to start a home owns its servers; others that start the same home join them. The servers stop with
their owner, however it ends, and keep their data. Ports stay the same from run to run where nobody took them, so a
process that had joined may call `start` again to take over when the owner has gone, and its URLs keep working.
"""

from __future__ import annotations

import atexit
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from devstack import binaries, locks
from devstack.errors import ServerError
from devstack.home import Home, Run
from devstack.ports import LOOPBACK
from devstack.postgres import DATABASE, ROLE, Postgres
from devstack.valkey import Valkey

JOIN_SECONDS = 120.0  # an owner may be in the middle of its first start, which includes initdb, on a slow disk
POLL_SECONDS = 0.02  # between checks of an owner that is starting


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the servers are, for SQLAlchemy and Celery. They hold the password, so their repr does not show them."""

    database: str = field(repr=False)
    broker: str = field(repr=False)
    results: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Pids:
    """The servers' process ids; None for one that does not run."""

    postgres: int | None
    valkey: int | None


class Servers:
    """The embedded servers of a home, started or joined.

    Not for use by several threads at once. Any thread may start it: the servers depend on the process, not on it.

    Args:
        home: the folder of data, logs and password; made when missing.
        durable: False is for tests: PostgreSQL never waits for the disk and Valkey keeps nothing. The owner decides.
        tuned: False is for measurements: PostgreSQL has its own default settings. The owner decides.
    """

    def __init__(self, home: Path | str, *, durable: bool = True, tuned: bool = True) -> None:
        self._home = Home(Path(home))
        self._durable, self._tuned = durable, tuned
        self._owner_lock: int | None = None
        self._owner_pid: int | None = None
        self._run: Run | None = None
        self._password = ""
        self._postgres: Postgres | None = None
        self._valkey: Valkey | None = None

    @property
    def owned(self) -> bool:
        """Whether this object started the servers and will stop them; False in a fork of the process that did."""
        return self._owner_pid == os.getpid()

    @property
    def urls(self) -> Urls:
        """The servers' addresses.

        Raises:
            ServerError: they were not started.
        """
        run = self._started()
        redis = f"redis://:{self._password}@{LOOPBACK}:{run.valkey_port}"
        return Urls(
            database=f"postgresql+psycopg://{ROLE}:{self._password}@{LOOPBACK}:{run.postgres_port}/{DATABASE}",
            broker=f"{redis}/0",
            results=f"{redis}/1",
        )

    @property
    def pids(self) -> Pids:
        """The servers' process ids: live ones for the owner, those of `run.json` for one who joined."""
        if self._postgres is not None and self._valkey is not None:
            return Pids(self._postgres.process.pid, self._valkey.process.pid)
        run = self._started()
        return Pids(run.postgres_pid or None, run.valkey_pid or None)

    def start(self) -> None:
        """Start the servers, or join those another process runs; return when both take connections.

        Does nothing for one who owns them already.

        Raises:
            NotInstalledError: a server is not installed; nothing was made or started.
            ServerError: a server did not start, or the home cannot be used.
        """
        if self.owned:
            return
        run = self._home.read_run()
        if run is None or not run.ready:
            binaries.require()
        self._home.prepare()
        deadline = time.monotonic() + JOIN_SECONDS
        while (lock := locks.try_lock(self._home.owner_lock)) is None:
            run = self._home.read_run()
            if run is not None and run.ready and self._are_running():
                self._run, self._password = run, self._home.password()
                return
            if time.monotonic() > deadline:
                raise ServerError(
                    f"Another process owns {self._home.folder} and has not started its servers after "
                    f"{JOIN_SECONDS:.0f} s. Read the logs in {self._home.logs}, or find the process with "
                    f"`lsof {self._home.owner_lock}`."
                )
            time.sleep(POLL_SECONDS)
        self._owner_lock, self._owner_pid = lock, os.getpid()
        try:
            self._start_as_owner()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the servers if this object owns them; their data stays. One who joined only forgets them."""
        if not self.owned:
            self._run = None
            return
        atexit.unregister(self.stop)
        processes = [server.process for server in (self._postgres, self._valkey) if server is not None]
        for process in processes:
            process.request_stop()
        for process in processes:
            process.finish_stop()
        if self._run is not None:
            # Where the disk is full, the file names servers that run; their locks, which are asked too, tell better.
            with suppress(OSError):
                self._home.write_run(Run(self._run.postgres_port, self._run.valkey_port))
        self._run = self._postgres = self._valkey = None
        self._owner_pid = None
        if self._owner_lock is not None:
            locks.close(self._owner_lock)
            self._owner_lock = None

    def restart_postgres(self) -> None:
        """Stop PostgreSQL if it runs and start it again, on the same port.

        Raises:
            ServerError: not ours, or it did not start.
        """
        postgres, _ = self._ours()
        port = self._started().postgres_port
        postgres.process.stop()
        self._require_port(port, postgres.start(port))
        postgres.wait(port)
        self._record()

    def restart_valkey(self) -> None:
        """Stop Valkey if it runs and start it again, on the same port.

        Raises:
            ServerError: not ours, or it did not start.
        """
        _, valkey = self._ours()
        port = self._started().valkey_port
        valkey.process.stop()
        self._require_port(port, valkey.start(port))
        valkey.wait(port)
        self._record()

    def kill_postgres(self, number: int) -> None:
        """Send PostgreSQL any signal, and return at once.

        Raises:
            ServerError: not ours.
        """
        self._ours()[0].process.signal(number)

    def kill_valkey(self, number: int) -> None:
        """Send Valkey any signal, and return at once.

        Raises:
            ServerError: not ours.
        """
        self._ours()[1].process.signal(number)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def _start_as_owner(self) -> None:
        last = self._home.read_run()
        if last is not None:
            # Nobody may join the servers of an owner that was killed: they are about to end.
            self._home.write_run(Run(last.postgres_port, last.valkey_port))
        self._home.rotate_logs()
        self._password = self._home.ensure_password()
        atexit.register(self.stop)
        self._valkey = Valkey(self._home, self._password, durable=self._durable)
        self._postgres = Postgres(self._home, self._password, durable=self._durable, tuned=self._tuned)
        # Both start at the same time; only then is either waited for.
        valkey_port = self._valkey.start(last.valkey_port if last is not None else None)
        postgres_port = self._postgres.start(last.postgres_port if last is not None else None)
        self._run = Run(postgres_port, valkey_port)
        self._valkey.wait(valkey_port)
        self._postgres.wait(postgres_port)
        self._record()

    def _record(self) -> None:
        """Record for processes that want to join that the servers are running."""
        run, pids = self._started(), self.pids
        self._run = Run(run.postgres_port, run.valkey_port, pids.postgres or 0, pids.valkey or 0)
        self._home.write_run(self._run)

    def _are_running(self) -> bool:
        return locks.is_held(self._home.postgres_lock) and locks.is_held(self._home.valkey_lock)

    def _started(self) -> Run:
        if self._run is None:
            raise ServerError("The embedded servers have not been started: call start(), or use `with Servers(...)`.")
        return self._run

    def _ours(self) -> tuple[Postgres, Valkey]:
        self._started()
        if not self.owned or self._postgres is None or self._valkey is None:
            raise ServerError("Only the process that started the embedded servers may signal or restart them.")
        return self._postgres, self._valkey

    def _require_port(self, wanted: int, port: int) -> None:
        if port != wanted:
            self._home.write_run(Run(self._started().postgres_port, self._started().valkey_port))
            raise ServerError(f"Port {wanted} was taken while its server was down; stop and start to use another one.")
