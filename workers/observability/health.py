"""Health of a process: the checks of its parts, and the small file that it writes after them.

A worker and a beat each keep ``HOME/health/NAME@HOST.json``. It says of every part the process needs whether it
answered and since when that is so. A process that is frozen, stuck or dead writes nothing, so a file that has become
old is as bad as one that names a broken part.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait

from workers.failures import describe
from workers.messaging.heartbeat import Heartbeat

ANSWER_SECONDS = 4.0  # for all parts together; with the next round a lost link shows within 10 s


class Pulse:
    """Checks every part of a process every few seconds, and writes what they answer.

    A part that does not answer in time is bad until it does, and is not asked again meanwhile. The threads are daemons:
    one that hangs keeps no process from ending.
    """

    def __init__(self, heartbeat: Heartbeat, parts: Mapping[str, Callable[[], object]], every: float) -> None:
        self._heartbeat, self._parts, self._every = heartbeat, parts, every
        self._asked: dict[str, Future[None]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="recast-pulse", daemon=True)

    def start(self) -> None:
        """Begin at once."""
        self._thread.start()

    def stop(self) -> None:
        """End, and remove the file."""
        self._stop.set()
        self._thread.join(ANSWER_SECONDS + 1)
        self._heartbeat.remove()

    def beat(self) -> None:
        """Check all parts and write what they answer."""
        for name, work in self._parts.items():
            if name not in self._asked:
                self._asked[name] = _ask(work)
        wait(self._asked.values(), timeout=ANSWER_SECONDS)
        errors = {name: _error(future) for name, future in self._asked.items()}
        self._asked = {name: future for name, future in self._asked.items() if not future.done()}
        self._heartbeat.write(errors)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.beat()
            self._stop.wait(self._every)


def _ask(work: Callable[[], object]) -> Future[None]:
    answer: Future[None] = Future()

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - any error is the one to report
            answer.set_exception(error)
        else:
            answer.set_result(None)

    threading.Thread(target=run, name="recast-pulse-part", daemon=True).start()
    return answer


def _error(answer: Future[None]) -> str | None:
    if not answer.done():
        return f"no answer within {ANSWER_SECONDS:g} s"
    error = answer.exception()
    return None if error is None else describe(error)
