"""A bounded cache that drops what was used least recently."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Cache(Generic[K, V]):
    """Keeps the `size` values used last, each for at most `seconds`; safe to use from many threads.

    A value is made outside of the lock, so two who miss it at once both make it, and the later one stays. What making
    it raises is not kept.
    """

    def __init__(self, size: int, seconds: float = math.inf) -> None:
        self._size = size
        self._seconds = seconds
        #: Each value with the time at which it expires; the most recently used is last.
        self._kept: OrderedDict[K, tuple[V, float]] = OrderedDict()
        self._lock = threading.Lock()

    def get_or_make(self, key: K, make: Callable[[], V]) -> V:
        """The value of `key`, or else the one that `make` gives now."""
        kept = self._find(key)
        return self.put(key, make()) if kept is None else kept[0]

    async def get_or_await(self, key: K, make: Callable[[], Awaitable[V]]) -> V:
        """The value of `key`, or else the one that is waited for now."""
        kept = self._find(key)
        return self.put(key, await make()) if kept is None else kept[0]

    def get(self, key: K) -> V | None:
        """The value of `key`, if there is one."""
        kept = self._find(key)
        return None if kept is None else kept[0]

    def put(self, key: K, value: V) -> V:
        """Keep `value`, and return it."""
        with self._lock:
            self._kept[key] = value, time.monotonic() + self._seconds
            self._kept.move_to_end(key)
            if len(self._kept) > self._size:
                self._kept.popitem(last=False)
        return value

    def drop(self, key: K) -> None:
        """Forget the value of `key`, if there is one."""
        with self._lock:
            self._kept.pop(key, None)

    def __contains__(self, key: K) -> bool:
        """Whether `key` has a value; the check counts as a use."""
        return self._find(key) is not None

    def _find(self, key: K) -> tuple[V, float] | None:
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if kept[1] < math.inf and kept[1] <= time.monotonic():
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return kept
