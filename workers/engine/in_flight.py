"""A slice's provider calls in flight."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Coroutine, Hashable
from typing import Any, Self

import structlog

log = structlog.get_logger()


class InFlight:
    """Calls that run beside each other on the event loop, at most `places` of them; a context that waits for all.

    A call records its outcome by itself. What one raises all the same is a mistake of ours: it is logged, and the other
    calls continue.
    """

    def __init__(self, places: int = sys.maxsize) -> None:
        self._places = places
        self._running: dict[asyncio.Task[None], Hashable] = {}

    def __len__(self) -> int:
        return len(self._running)

    @property
    def free(self) -> int:
        """Places for further calls."""
        return self._places - len(self._running)

    def start(self, call: Coroutine[Any, Any, None], key: Hashable = None) -> None:
        """Set a call going; `key` says what it is counted under."""
        task = asyncio.ensure_future(call)
        self._running[task] = key
        task.add_done_callback(self._ended)

    def by_key(self) -> Counter[Any]:
        """How many calls run, by their keys."""
        return Counter(self._running.values())

    async def wait(self, seconds: float, nudged: asyncio.Event | None = None) -> None:
        """Wait for the end of one call, for a nudge, or for `seconds`; the nudge is then used up."""
        nudge = [] if nudged is None else [asyncio.ensure_future(nudged.wait())]
        if not self._running and not nudge:
            return
        try:
            await asyncio.wait({*self._running, *nudge}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in nudge:
                waiting.cancel()
        if nudged is not None:
            nudged.clear()

    async def wait_for_all(self) -> None:
        """Wait until no call runs any more."""
        while self._running:
            await asyncio.wait(self._running)

    def cancel(self) -> None:
        """Cancel every call."""
        for task in self._running:
            task.cancel()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.wait_for_all()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            log.error("call_failed", exc_info=error)
