"""Answers that are the same for everybody: asked for once by all who want one at the same time, and for a while after.

So what anybody may ask for costs the database no more than one look at a time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """What `make` gives, kept for `seconds`; what it raises is told to all who wait for it. For one event loop."""

    def __init__(self, seconds: float, make: Callable[[], Awaitable[T]]) -> None:
        self._seconds, self._make = seconds, make
        self._made: asyncio.Future[T] | None = None
        self._until = 0.0

    async def get(self) -> T:
        """The answer."""
        made = self._made
        if made is None or (made.done() and time.monotonic() >= self._until):
            self._until = 0.0
            made = self._made = asyncio.ensure_future(self._making())
        # Who gives up does not end it for the others.
        return await asyncio.shield(made)

    async def _making(self) -> T:
        made = await self._make()
        self._until = time.monotonic() + self._seconds
        return made
