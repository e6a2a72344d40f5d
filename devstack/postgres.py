"""The embedded PostgreSQL: made with initdb, started and stopped without pg_ctl.

PostgreSQL refuses to run as root. There it runs in a user namespace, where root has another name and still reaches its
own folders; where namespaces are forbidden (most containers), it runs as `nobody`.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import psycopg

from devstack.binaries import postgres_bin
from devstack.errors import ServerError
from devstack.home import Home
from devstack.ports import LOOPBACK, pick_port
from devstack.process import ServerProcess, User, launcher_command

ROLE = "recast"
DATABASE = "recast"

INITDB_SECONDS = 120.0  # 0.4 s on an idle SSD
READY_SECONDS = 60.0  # recovery after a kill replays at most `max_wal_size`
CONNECT_SECONDS = 30  # to a server on this machine that has said it is ready; a crowded machine takes seconds

# Where it listens and for how many, and the clock's zone.
PLACE = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",  # their paths are limited to 107 bytes, a home's is not
    "max_connections": "200",  # ten worker processes with a pool of twenty
    "timezone": "UTC",
    "log_timezone": "UTC",
}
# For a queue on one machine shared with workers, a browser and an editor.
TUNING = {
    "shared_buffers": "128MB",
    "work_mem": "16MB",
    "maintenance_work_mem": "64MB",
    "wal_level": "minimal",  # nothing replicates from here, so COPY into a new table may skip the log
    "max_wal_senders": "0",  # required by wal_level=minimal
    "max_wal_size": "2GB",  # a catalog's COPY does not force a checkpoint
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",  # an SSD
    "jit": "off",  # compiling costs more than any of our short statements
    "autovacuum_naptime": "10s",  # every job's row is rewritten several times within a minute
    "autovacuum_vacuum_scale_factor": "0.05",
}
# For tests: the disk is never waited for, so a crash of the machine may destroy everything. A crash of the server loses
# nothing, as the tests that kill it demand; synchronous_commit=off would lose what was committed in the last 600 ms.
NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class Postgres:
    """One PostgreSQL server with its data in a home.

    Args:
        home: the folder with its data.
        password: of the role `recast`.
        durable: False never waits for the disk, for tests.
        tuned: False keeps PostgreSQL's own defaults, for measurements.
    """

    def __init__(self, home: Home, password: str, *, durable: bool, tuned: bool = True) -> None:
        # SIGINT is the fast shutdown: clients are disconnected, a checkpoint is written.
        self.process = ServerProcess("PostgreSQL", home.log("postgres"), home.postgres_lock, signal.SIGINT)
        self._initdb = ServerProcess("initdb", home.log("initdb"), home.postgres_lock, signal.SIGTERM)
        self._home = home
        self._password = password
        self._durable = durable
        self._settings = PLACE | (TUNING if tuned else {}) | ({} if durable else NOT_DURABLE)

    def start(self, preferred_port: int | None) -> int:
        """Make the data folder if there is none, start the server, return its port; `wait` waits until it answers.

        Raises:
            ServerError: it is not installed or cannot be started.
        """
        programs = postgres_bin()
        user = _server_user()
        if isinstance(user, tuple):
            _let_through(self._home, programs)
        if os.geteuid() == 0:
            _give(self._home.postgres, user)
        if not self._home.postgres.exists():
            self._make_data_folder(programs / "initdb", user)
        # The lock says that no server of this home is left. PostgreSQL itself would see only that some process has the
        # id it once wrote down, which after a restart of a container is usual, and refuse to start. Against a server
        # that someone started by hand it still has its shared memory.
        (self._home.postgres / "postmaster.pid").unlink(missing_ok=True)
        port = pick_port(preferred_port)
        settings = self._settings | {"port": str(port)}
        options = [f"--{name}={value}" for name, value in settings.items()]
        command = [str(programs / "postgres"), "-D", str(self._home.postgres), *options]
        self.process.start(command, user=user, folder=self._home.folder)
        return port

    def wait(self, port: int) -> None:
        """Wait until the server takes connections, and make the database if there is none.

        Raises:
            ServerError: it ended or took too long, or does not accept our password.
        """
        self.process.wait_until(self._says_ready, READY_SECONDS)
        try:
            with psycopg.connect(
                host=LOOPBACK,
                port=port,
                user=ROLE,
                password=self._password,
                dbname="postgres",
                connect_timeout=CONNECT_SECONDS,
                autocommit=True,
            ) as connection:
                known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]).fetchone()
                if known is None:
                    connection.execute(f"CREATE DATABASE {DATABASE}")
        except psycopg.Error as error:
            raise ServerError(f"PostgreSQL started but cannot be used: {error}. {self.process.log_tail()}") from error

    def _says_ready(self) -> bool:
        """Whether postmaster.pid, first line our server's id, says ready in its eighth: pg_ctl learns it so, too."""
        try:
            lines = (self._home.postgres / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        return lines[:1] == [str(self.process.pid)] and [line.strip() for line in lines[7:8]] == ["ready"]

    def _make_data_folder(self, initdb: Path, user: User) -> None:
        """Run initdb under another name and rename the result: a data folder is there completely or not at all."""
        partial = self._home.folder / "postgres.partial"
        password = self._home.folder / "initdb.password"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(mode=0o700)
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(self._password)
        if os.geteuid() == 0:
            _give(partial, user)
            _give(password, user)
        command = [
            str(initdb),
            f"--pgdata={partial}",
            f"--username={ROLE}",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C",  # the same order of keys on every machine
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
        ]
        try:
            self._initdb.start(command, user=user, folder=self._home.folder)
            self._initdb.wait_for_success(INITDB_SECONDS)
        finally:
            self._initdb.stop()
            password.unlink()
        partial.rename(self._home.postgres)


def _server_user() -> User:
    """The user that PostgreSQL runs as: the present one, unless that is root."""
    if os.geteuid() != 0:
        return "same"
    return "namespace" if namespace_works() else _nobody()


def namespace_works() -> bool:
    """Whether this process may create a user namespace, which kernels, containers and security modules can forbid."""
    trial = launcher_command([], "namespace", signal.SIGTERM, None)
    return subprocess.run(trial, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0  # noqa: S603


def _nobody() -> tuple[int, int]:
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError as error:
        raise ServerError(
            "PostgreSQL does not run as root, this system forbids user namespaces and has no user `nobody`. "
            "Run as an ordinary user, or set RECAST_DATABASE_URL."
        ) from error
    return nobody.pw_uid, nobody.pw_gid


def _let_through(home: Home, programs: Path) -> None:
    """Let others pass through the home to the data folder; look whether they get to both it and the programs.

    Raises:
        ServerError: a folder above either is closed. It is not ours to open.
    """
    home.folder.chmod(0o711)
    for folder in [*programs.parents, programs, *home.folder.parents]:
        if not folder.stat().st_mode & stat.S_IXOTH:
            raise ServerError(
                f"PostgreSQL does not run as root, and as `nobody` it cannot enter {folder}. "
                "Run as an ordinary user, or choose another folder with RECAST_HOME."
            )


def _give(path: Path, user: User) -> None:
    """As root: give `path` and its contents to the user that PostgreSQL runs as."""
    uid, gid = user if isinstance(user, tuple) else (os.geteuid(), os.getegid())
    if path.exists() and path.stat().st_uid != uid:
        for entry in [path, *path.rglob("*")]:
            os.chown(entry, uid, gid, follow_symlinks=False)
