"""The embedded stack: servers and processes that run on this machine while a command needs them.

The first command that starts it in a home owns it; others join it through ``stack.json``, and one that had joined
becomes the owner when the owner has ended. With ``--sandbox`` the stack has a separate home, ``HOME/sandbox``, so that
its data never mix with real data:

    HOME/            servers' data, logs/, stack.json, secret_key, pictures/
    HOME/sandbox/    the same for the sandbox, and: accounts.toml (points at it), providers/ (its bill and pictures)
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import sys
import sysconfig
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cli.late import load
from cli.listeners import bound, listens, place, url
from devstack.errors import ServerError
from devstack.home import Home
from devstack.ports import LOOPBACK, bind
from devstack.process import ServerProcess
from devstack.room import no_room
from devstack.servers import Servers
from workers import private
from workers.config.settings import Settings
from workers.observability.logs import LogLevel

READY_SECONDS = 60.0  # for web and sandbox to listen: imports take a second, on a slow machine many
JOIN_SECONDS = 120.0  # for an owner that is starting to write its stack file
POLL_SECONDS = 0.02  # between two checks while a stack starts
STOP_SECONDS = 15.0  # for a worker to record its submissions in flight; then it is killed, and loses nothing
SECRET_BYTES = 32

ROOT = Path(__file__).parents[1]  # the folder of our packages
#: Without the current folder on the path, because its own ``tasks.py`` would hide ours.
PYTHON = (sys.executable, "-P", "-m")
SANDBOX_FOLDER = "providers"  # in the sandbox's home
#: The settings that say where a process listens.
WEB = ("RECAST_WEB_HOST", "RECAST_WEB_PORT")
FLOWER = ("RECAST_FLOWER_ADDRESS", "RECAST_FLOWER_PORT")
#: Fields of a stack file that are settings and can be set by the environment.
SETTINGS = ("database_url", "broker_url", "result_url", "secret_key", "public_url")


@dataclass(frozen=True, slots=True)
class Parts:
    """The processes that a stack has besides its servers."""

    worker: bool = True
    web: bool = True
    beat: bool = False
    flower: bool = False
    sandbox: bool = False


class Stack:
    """The embedded stack of one home, started or joined. Its addresses become this process's environment.

    Args:
        settings: the settings of this command; `home` is the stack's.
        parts: the processes to start, where this command becomes the owner.
        external: whether database and broker are configured, so that only processes are started.
    """

    def __init__(self, settings: Settings, parts: Parts, *, external: bool = False) -> None:
        self._settings = settings
        self._parts = parts
        self._home = Home(settings.home)
        self._servers = None if external else Servers(settings.home)
        self._processes: dict[str, ServerProcess] = {}
        #: The address of this command's sandbox.
        self.sandbox_url: str | None = None
        #: The address at which this machine reaches this command's web.
        self.web_url: str | None = None

    @property
    def owned(self) -> bool:
        """Whether this command started the stack and stops it."""
        return self._servers is None or self._servers.owned

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the stack or join it; return when jobs can be enqueued. A command that had joined becomes the owner.

        Raises:
            ServerError: something did not start; the message quotes its log.
        """
        try:
            if self._servers is not None and not self._own_or_join(self._servers):
                return
            self._start_as_owner()
        except BaseException:
            self.stop()
            raise

    def check(self) -> None:
        """Check that every process of this command is running.

        Raises:
            ServerError: one exited; the message quotes its log.
        """
        for process in self._processes.values():
            if process.pid is None:
                raise ServerError(f"the {process.name} exited unexpectedly. {process.log_tail()}")

    def check_room(self) -> None:
        """Check that this stack's disk has room; without any, its processes wait and write no logs.

        Raises:
            ServerError: it is full.
        """
        if (full := no_room(self._home.folder)) is not None:
            raise ServerError(full)

    def stop(self) -> None:
        """Stop what this command started: first the processes that accept work, then those that they need."""
        if self._servers is not None and self._servers.owned:
            self._settings.stack_file.unlink(missing_ok=True)
        groups = (("beat", "flower", "worker"), ("sandbox",), ("web",))
        for group in groups:
            stopping = [self._processes.pop(name) for name in group if name in self._processes]
            for process in stopping:
                process.request_stop()
            for process in stopping:
                process.finish_stop(STOP_SECONDS)
        if self._servers is not None:
            self._servers.stop()

    def _own_or_join(self, servers: Servers) -> bool:
        """Become the owner (True), or join a complete stack (False)."""
        deadline = time.monotonic() + JOIN_SECONDS
        servers.start()
        if not servers.owned and not self._parts.worker:
            # The key of the stack that runs here, which may not have written its file yet, or be one that only reads.
            # What is stored encrypted, such as webhooks' secrets, is read and written by all commands alike.
            running = self._read_stack_file() or {}
            key = self._secret_key() if self._kept_key.exists() else None
            publish({"secret_key": key, **running, **_addresses(servers)})
            return False
        while not servers.owned:
            written = self._read_stack_file()
            # The owner may also be a command that only reads, or one whose stack is not complete yet.
            if written is not None and written.get("postgres_pid") == servers.pids.postgres:
                publish(written)
                return False
            if time.monotonic() > deadline:
                raise ServerError(
                    f"another command owns {self._home.folder} and has not started its stack within "
                    f"{JOIN_SECONDS:.0f} s; read the logs in {self._home.logs}"
                )
            time.sleep(POLL_SECONDS)
            servers.start()
        return True

    def _start_as_owner(self) -> None:
        self._home.prepare()
        # Everything that a program in another folder needs, which sets only RECAST_HOME.
        stack: dict[str, Any] = {
            "secret_key": self._secret_key(), "public_url": self._settings.public_url,
            "accounts_file": str(self._settings.accounts_file.absolute()), "storage_url": self._settings.storage,
            "currency": self._settings.currency,
        }  # fmt: skip
        if self._servers is not None:
            # An owner that was killed has left its file behind.
            self._settings.stack_file.unlink(missing_ok=True)
            stack |= _addresses(self._servers) | {"postgres_pid": self._servers.pids.postgres}
        self._start_processes(stack)
        # Servers without a worker are not a stack that could process another command's jobs.
        if self._servers is not None and self._parts.worker:
            private.write(self._settings.stack_file, json.dumps(stack))

    def _start_processes(self, stack: dict[str, Any]) -> None:
        """Start the processes at the same time, and wait for those that others need."""
        chosen = self._settings
        web = sandbox = None
        if self._parts.flower:
            # Flower binds its port by itself, after its imports.
            bound(chosen.flower_address, chosen.flower_port, named_by=FLOWER).close()
        if self._parts.sandbox:
            sandbox = self._kept_socket("sandbox_port", LOOPBACK)
            self.sandbox_url = url(sandbox)
            load("cli.sandbox_accounts:write_sandbox_accounts")(chosen.accounts_file, self.sandbox_url)
            # Not the configured port, which the web of a real deployment on this machine may use.
            web = self._kept_socket("web_port", chosen.web_host) if self._parts.web else None
            stack["public_url"] = url(web) if web is not None else None
        elif self._parts.web:
            web = bound(chosen.web_host, chosen.web_port, named_by=WEB)
        publish(stack)
        if web is not None:
            self.web_url = stack["web_url"] = url(web)
            self._spawn("web", web_command(chosen, web), web)
        if self._servers is not None:
            load("cli.ownership:prepare")(self._servers.urls.database)
        for name, more in (("worker", [f"--parent={os.getpid()}"]), ("beat", []), ("flower", [])):
            if getattr(self._parts, name):
                self._spawn(name, [*PYTHON, "cli", name, *more])
        if web is not None:
            self._wait_for_port("web", web)
        if sandbox is not None:
            # Last, because it continues earlier jobs when it starts, and fetches their pictures from `web`.
            self._spawn("sandbox", sandbox_command(self._home.folder / SANDBOX_FOLDER, sandbox), sandbox)
            self._wait_for_port("sandbox", sandbox)

    def _kept_socket(self, name: str, host: str) -> socket.socket:
        """A bound socket with the same port as before, if it is free: providers and our tables store URLs with it."""
        kept = self._home.folder / name
        made = bind(int(kept.read_text()) if kept.exists() else None, host)
        private.write(kept, str(place(made)[1]))
        return made

    def _spawn(self, name: str, command: Sequence[str], listener: socket.socket | None = None) -> None:
        process = ServerProcess(
            name, self._home.log(name), self._home.folder / f"{name}.lock", death_signal=signal.SIGTERM
        )
        # Registered first, so that a process whose start is interrupted is stopped like any other.
        self._processes[name] = process
        handed_over = [listener.fileno()] if listener is not None else []
        process.start(command, folder=Path.cwd(), descriptors=handed_over)

    def _wait_for_port(self, name: str, listener: socket.socket) -> None:
        at = place(listener)
        listener.close()  # our copy; the process has its own
        self._processes[name].wait_until(lambda: listens(at), READY_SECONDS)

    def _secret_key(self) -> str:
        if self._settings.secret_key is not None:
            return self._settings.secret_key.get_secret_value()
        if not self._kept_key.exists():
            private.write(self._kept_key, secrets.token_urlsafe(SECRET_BYTES))
        return self._kept_key.read_text().strip()

    @property
    def _kept_key(self) -> Path:
        return self._home.folder / "secret_key"

    def _read_stack_file(self) -> Mapping[str, Any] | None:
        try:
            found = json.loads(self._settings.stack_file.read_text())
        except (FileNotFoundError, ValueError):
            return None
        return found if isinstance(found, dict) else None


def _addresses(servers: Servers) -> dict[str, Any]:
    urls = servers.urls
    return {"database_url": urls.database, "broker_url": urls.broker, "result_url": urls.results}


def publish(stack: Mapping[str, Any]) -> None:
    """Write a stack's settings to this process's environment, from which Celery's app and all children read them."""
    os.environ.update({f"RECAST_{name.upper()}": str(stack[name]) for name in SETTINGS if stack.get(name)})
    if str(ROOT) != sysconfig.get_path("purelib"):
        known = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{ROOT}{os.pathsep}{known}" if known else str(ROOT)


def web_command(settings: Settings, listener: socket.socket | int, loglevel: LogLevel = LogLevel.INFO) -> list[str]:
    """The command line of a `web` process that listens on a port, or on a bound socket that it inherits."""
    return [
        *PYTHON, "web", f"--host={settings.web_host}", _listen_option(listener), f"--loglevel={loglevel}",
    ]  # fmt: skip


def sandbox_command(folder: Path, listener: socket.socket | int, *, child: bool = True) -> list[str]:
    """The command line of a sandbox process; a `child` is killed together with this process."""
    parent = [f"--parent={os.getpid()}"] if child else []
    return [*PYTHON, "sandbox", f"--home={folder}", _listen_option(listener), *parent]


def _listen_option(listener: socket.socket | int) -> str:
    return f"--port={listener}" if isinstance(listener, int) else f"--fd={listener.fileno()}"
