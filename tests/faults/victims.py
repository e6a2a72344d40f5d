"""What is killed in a cell of the matrix, how, and how it comes back."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.stack import Stack, Worker, wait_for


@dataclass(slots=True)
class Deployment:
    """A deployment at work, of which something is about to be killed."""

    stack: Stack
    worker: Worker
    beat: subprocess.Popen[bytes]


Deed = Callable[[Deployment], object]


@dataclass(frozen=True, slots=True)
class Victim:
    """Something to kill in one way."""

    #: Kills it. What ends by itself after that, because it was asked to, has not ended yet.
    strike: Deed
    #: Waits for its end where it has not come yet, and brings it back; returns when it is ready.
    bring_back: Deed
    #: Whether a submission's answer may be lost with it: such a job is held where its provider cannot be searched.
    may_hold: bool = False


def _end(process: subprocess.Popen[bytes] | None, number: int) -> None:
    assert process is not None
    process.send_signal(number)
    if number == signal.SIGKILL:
        process.wait(30)


def _worker(number: int) -> Victim:
    def bring_back(cell: Deployment) -> None:
        assert cell.worker.process is not None
        cell.worker.process.wait(60)
        cell.stack.worker("returned").wait_ready()

    # An orderly stop lets submissions under way be recorded, so it holds nobody.
    return Victim(lambda cell: _end(cell.worker.process, number), bring_back, may_hold=number == signal.SIGKILL)


def _beat(number: int) -> Victim:
    def bring_back(cell: Deployment) -> None:
        cell.beat.wait(30)
        cell.stack.beat()

    return Victim(lambda cell: _end(cell.beat, number), bring_back)


def _valkey(number: int) -> Victim:
    def strike(cell: Deployment) -> None:
        cell.stack.servers.kill_valkey(number)
        wait_for(lambda: cell.stack.servers.pids.valkey is None, message="Valkey is gone")

    return Victim(strike, lambda cell: cell.stack.servers.restart_valkey())


def _postgres(number: int) -> Victim:
    def strike(cell: Deployment) -> None:
        cell.stack.servers.kill_postgres(number)
        wait_for(lambda: cell.stack.servers.pids.postgres is None, message="PostgreSQL is gone")

    def bring_back(cell: Deployment) -> None:
        cell.stack.servers.restart_postgres()
        # This process's own connections are as dead as the worker's.
        cell.stack.engine.dispose()

    return Victim(strike, bring_back, may_hold=True)


def _sandbox(number: int) -> Victim:
    return Victim(lambda cell: cell.stack.sandbox.kill(number), lambda cell: cell.stack.sandbox.start(), may_hold=True)


VICTIMS: Mapping[str, Victim] = {
    "worker-killed": _worker(signal.SIGKILL),
    "worker-stopped": _worker(signal.SIGTERM),
    "beat-killed": _beat(signal.SIGKILL),
    "beat-stopped": _beat(signal.SIGTERM),
    "valkey-killed": _valkey(signal.SIGKILL),
    "valkey-stopped": _valkey(signal.SIGTERM),
    # Messages, results and Celery's own book-keeping are gone; connections and subscriptions are not.
    "valkey-flushed": Victim(lambda cell: cell.stack.redis.flushall(), lambda _: None),
    "postgres-killed": _postgres(signal.SIGKILL),
    # SIGTERM would wait for all clients to go; a restart is SIGINT, which disconnects them.
    "postgres-stopped": _postgres(signal.SIGINT),
    "sandbox-killed": _sandbox(signal.SIGKILL),
    "sandbox-stopped": _sandbox(signal.SIGTERM),
}
