"""Threads that decode pictures: as many as there are cores, apart from those that wait for databases and files."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

LEAST_THREADS: Final = 2  # one of them may be waiting for a file
STUCK_SECONDS: Final = 60.0  # the slowest picture that is allowed takes seconds, also on a crowded machine


class StuckError(Exception):
    """A picture has been decoded for too long."""


class Decoders:
    """A pool of threads that knows for how long each piece of work has run."""

    def __init__(self, threads: int | None = None) -> None:
        self._pool = ThreadPoolExecutor(threads or max(LEAST_THREADS, os.cpu_count() or 1), "recast-decoder")
        #: When each piece of work began that runs now, on `time.monotonic`.
        self._began: dict[object, float] = {}

    async def run(self, work: Callable[[], T]) -> T:
        """Run `work` in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, work)

    def check(self) -> None:
        """Raise StuckError where a piece of work has run for more than `STUCK_SECONDS`."""
        longest = time.monotonic() - min(list(self._began.values()), default=time.monotonic())
        if longest > STUCK_SECONDS:
            raise StuckError(f"a picture has been decoded for {longest:.0f} s")

    def close(self) -> None:
        """End the threads once their work is done."""
        self._pool.shutdown()

    def _timed(self, work: Callable[[], T]) -> T:
        key = object()
        self._began[key] = time.monotonic()
        try:
            return work()
        finally:
            del self._began[key]
