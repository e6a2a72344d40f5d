"""Groups of what arrives one by one: handed on together by one thread, after a wait that nobody notices.

While a group is worked on, the next one gathers; so groups are small when little arrives, and large when much does.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

import structlog

T = TypeVar("T")

#: Items of one group: a statement over more of them gains nothing, and holds its locks longer.
MOST = 250
#: What a lone item waits for others. A burst that one sender sends within it is one group.
LINGER_SECONDS = 0.003

log = structlog.get_logger()


class _Last:
    """Comes after the last item."""


class Groups(Generic[T]):
    """Hands what is put in to `work`, in the order of its arrival and up to `MOST` at a time.

    Args:
        work: called in a thread of its own; what it raises is logged, and the next group is worked on.
        name: of the thread.
    """

    def __init__(self, work: Callable[[list[T]], None], name: str) -> None:
        self._work, self._name = work, name
        self._arrived: SimpleQueue[T | _Last] = SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def put(self, item: T) -> None:
        """Have an item worked on soon; never waits."""
        self._arrived.put(item)
        if self._thread is None:
            self._start()

    def close(self, seconds: float) -> None:
        """Work on what has arrived, and end; waits no longer than `seconds`."""
        if self._thread is not None:
            self._arrived.put(_Last())
            self._thread.join(seconds)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while True:
            group, last = self._next()
            if group:
                self._try(group)
            if last:
                return

    def _next(self) -> tuple[list[T], bool]:
        """The next group, and whether it is the last one."""
        group: list[T] = []
        item = self._arrived.get()
        time.sleep(LINGER_SECONDS)
        try:
            while not isinstance(item, _Last):
                group.append(item)
                if len(group) == MOST:
                    return group, False
                item = self._arrived.get_nowait()
        except Empty:
            return group, False
        return group, True

    def _try(self, group: list[T]) -> None:
        try:
            self._work(group)
        except Exception:
            log.exception("group_not_worked_on", items=len(group))
