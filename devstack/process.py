"""One server process: started so that it dies with this process, waited for, signalled, and stopped.

The kernel ends a server when the *thread* that started it ends (PR_SET_PDEATHSIG), so all are started from one thread
that lasts as long as the process: callers may use any thread of theirs.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Literal

from devstack import launch, locks
from devstack.errors import ServerError
from devstack.room import no_room
from workers import private

User = Literal["same", "namespace"] | tuple[int, int]  # as in `devstack.launch`; the tuple is (uid, gid)

POLL_SECONDS = 0.01  # between checks of a server that starts or stops; it adds at most this to either
STOP_SECONDS = 20.0  # PostgreSQL writes a checkpoint first, on a slow disk a matter of seconds; then it is killed
LEFTOVER_SECONDS = 30.0  # for a server of an owner that was killed to finish: the same checkpoint, and some more
LOG_LINES = 12  # of a server's log in an error: enough for PostgreSQL's FATAL with its detail and hint

# Linux has the kernel end the servers; where it cannot, each server gets a watchdog process.
USE_WATCHDOG = sys.platform != "linux"

_Start = tuple[Future[subprocess.Popen[bytes]], Callable[[], subprocess.Popen[bytes]]]


def _serve(starts: SimpleQueue[_Start]) -> None:
    while True:
        future, start = starts.get()
        try:
            future.set_result(start())
        except Exception as error:  # noqa: BLE001 - the thread that called `start` raises it
            future.set_exception(error)


class _Starter:
    """The thread that starts all servers of this process, itself started with the first one."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: SimpleQueue[_Start] | None = None

    def forget(self) -> None:
        """In a fork, which has none of its parent's threads: have the next start make a thread."""
        self._lock = threading.Lock()
        self._starts = None

    def start(self, start: Callable[[], subprocess.Popen[bytes]]) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._starts is None:
                self._starts = SimpleQueue()
                threading.Thread(target=_serve, args=(self._starts,), name="server-starter", daemon=True).start()
        future: Future[subprocess.Popen[bytes]] = Future()
        self._starts.put((future, start))
        return future.result()


_starter = _Starter()
os.register_at_fork(after_in_child=_starter.forget)


def launcher_command(
    command: Sequence[str], user: User, death_signal: int, watch: Sequence[int | str] | None
) -> list[str]:
    """The command line of `devstack.launch` for a server."""
    order = {
        "command": list(command),
        "parent": os.getpid(),
        "death_signal": death_signal,
        "user": user,
        "watch": watch,
    }
    # Isolated and without site packages Python starts in 10 ms, and nothing in the environment can change what it does.
    return [sys.executable, "-I", "-S", launch.__file__, json.dumps(order)]


def _spawn(command: Sequence[str], folder: Path, log: IO[bytes], pass_fds: Sequence[int]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    environment["LC_ALL"] = "C"  # an unset or unknown locale stops PostgreSQL on macOS
    return subprocess.Popen(  # noqa: S603 - our own words and the programs we looked up
        command,
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        cwd=folder,
        env=environment,
        pass_fds=pass_fds,
        # A Ctrl-C at the terminal is for the workers: their servers must outlast them.
        start_new_session=True,
    )


class ServerProcess:
    """A server that can be restarted under one name, with one log and one lock.

    The server itself and its children hold the lock. It is free exactly when none of them is left, which is checked
    before each start: two servers in one folder would destroy its data.

    Args:
        name: its name in errors.
        log: the file its output is appended to.
        lock: the file whose lock it holds.
        death_signal: the signal it gets when this process is gone, and that `stop` sends first.
    """

    def __init__(self, name: str, log: Path, lock: Path, death_signal: signal.Signals) -> None:
        self.name = name
        self.log = log
        self.lock = lock
        self._death_signal = death_signal
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None  # its end tells the watchdog that this process is gone
        self._log_start = 0

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(
        self,
        command: Sequence[str],
        *,
        user: User = "same",
        folder: Path,
        config: bytes = b"",
        descriptors: Sequence[int] = (),
    ) -> None:
        """Start the server; return at once, before it is ready.

        Args:
            command: the program and its arguments.
            user: the user to run it as.
            folder: its working directory.
            config: what it reads from standard input.
            descriptors: what it inherits under the same numbers, a bound socket for instance.

        Raises:
            ServerError: a server of an earlier run is still there, or the process could not be started.
        """
        lock = self._wait_for_lock()
        read = self._open_pipe() if USE_WATCHDOG else None
        watch = None if read is None else (read, lock, str(self.lock))
        pass_fds = [lock, *descriptors] if read is None else [lock, *descriptors, read]
        try:
            with open(self.log, "ab", opener=private.opener) as log:
                self._log_start = log.tell()
                launcher = launcher_command(command, user, self._death_signal, watch)
                self._process = _starter.start(lambda: _spawn(launcher, folder, log, pass_fds))
        except OSError as error:
            self._close_pipe()
            raise ServerError(f"{self.name} could not be started: {error}") from error
        finally:
            locks.close(lock)
            if read is not None:
                os.close(read)
        self._feed(config)

    def _feed(self, config: bytes) -> None:
        """Write the few lines of the configuration; a pipe holds far more, so this does not wait."""
        if self._process is None or self._process.stdin is None:
            return
        # If the server ended before it read them, `wait_until` reports it, with the log.
        with contextlib.suppress(BrokenPipeError), self._process.stdin as pipe:
            pipe.write(config)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Wait until `ready` answers true.

        Raises:
            ServerError: the server ended, or was not ready in time; quotes the end of its log.
        """
        deadline = time.monotonic() + seconds
        while not ready():
            if self.pid is None:
                raise ServerError(f"{self.name} exited while it started. {self.log_tail()}")
            if time.monotonic() > deadline:
                raise ServerError(f"{self.name} was not ready after {seconds:.0f} s. {self.log_tail()}")
            time.sleep(POLL_SECONDS)

    def wait_for_success(self, seconds: float) -> None:
        """Wait for a program that does its work and ends.

        Raises:
            ServerError: it failed, or took too long; quotes the end of its log.
        """
        if self._process is None:
            raise ServerError(f"{self.name} was not started.")
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise ServerError(f"{self.name} did not end within {seconds:.0f} s. {self.log_tail()}") from error
        if status != 0:
            raise ServerError(f"{self.name} failed with status {status}. {self.log_tail()}")

    def signal(self, number: int) -> None:
        """Send the server a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def request_stop(self) -> None:
        """Ask the server to stop, so that several can stop at the same time; `finish_stop` waits for it."""
        self.signal(self._death_signal)
        # A server that a test has frozen must continue to receive the signal.
        self.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop the server and wait until it is gone."""
        self.request_stop()
        self.finish_stop()

    def finish_stop(self, seconds: float = STOP_SECONDS) -> None:
        """Wait until a server that was asked to stop is gone; kill it when that takes longer than `seconds`."""
        if self._process is None:
            return
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        finally:
            self._close_pipe()

    def log_tail(self) -> str:
        """The last lines the server logged since its start, and where to read the rest; on a full disk, that it is."""
        if (full := no_room(self.log.parent)) is not None:
            return full
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join([f"Its log, {self.log}, ends with:", *lines[-LOG_LINES:]])

    def _open_pipe(self) -> int:
        """Open the pipe whose end tells the watchdog that this process is gone; the watchdog's end of it."""
        read, self._pipe = os.pipe()
        locks.keep_from_children(self._pipe)
        return read

    def _close_pipe(self) -> None:
        if self._pipe is not None:
            locks.close(self._pipe)
            self._pipe = None

    def _wait_for_lock(self) -> int:
        deadline = time.monotonic() + LEFTOVER_SECONDS
        while (lock := locks.try_lock(self.lock)) is None:
            if time.monotonic() > deadline:
                raise ServerError(
                    f"The {self.name} of an earlier run has not ended after {LEFTOVER_SECONDS:.0f} s. "
                    f"Find it with `lsof {self.lock}` and stop it."
                )
            time.sleep(POLL_SECONDS)
        return lock
