"""Looks for what a visitor's filter means: how long each may take, and how many are made at a time.

A condition may have to be tried on every job of a batch. Nobody knows who the guests of a batch are, so they wait for
each other, and the database looks for less long.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from desk.actors import Actor
from workers.jobs.filters import LOOK_SECONDS

GUESTS_SECONDS = 2.0  # for a guest's filter: enough for a batch of a million
AT_ONCE = 2  # looks of one visitor, or of all guests of a batch: there are ten connections for all pages


class Looks:
    """Gives visitors their turns; for one event loop."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, actor: Actor) -> AsyncIterator[None]:
        """Wait until fewer than `AT_ONCE` looks of this visitor are under way."""
        turns = self._turns.setdefault(actor.seat, asyncio.Semaphore(AT_ONCE))
        async with turns:
            yield


def seconds_for(actor: Actor) -> float:
    """How long the database may look for what a filter of this person means."""
    return LOOK_SECONDS if actor.guest_of is None else GUESTS_SECONDS
