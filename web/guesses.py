"""The lane for passwords: after some wrong ones, each address has its turn, and each turn is one password.

A password is compared only at its turn, so that giving up early tells a guesser nothing. Nobody is locked out: turns go
round the addresses, so another address waits for no more than one turn of each, and a browser that has once had the
right password has a pass (a cookie) and waits for none.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from starlette.requests import Request

from web.connections import place_of

FREE = 10  # wrong passwords that make nobody wait: people mistype
FREE_SECONDS = 6.0  # after which one more is free again
TURN_SECONDS = 0.05  # between two passwords: 20 guesses a second are no danger to twelve characters

_Waiter = tuple[asyncio.Future[None], Callable[[], Awaitable[bool]]]


class Lane:
    """Turns of addresses; used from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong, self._wrong_at = 0.0, clock()
        self._waiting: OrderedDict[str, deque[_Waiter]] = OrderedDict()
        self._turns: asyncio.Task[None] | None = None

    @property
    def is_free(self) -> bool:
        """Whether passwords are compared without waiting."""
        return self._recent() < FREE and not self._waiting

    def was_wrong(self) -> None:
        """Count a wrong password."""
        self._wrong, self._wrong_at = self._recent() + 1, self._clock()

    async def turn(self, request: Request) -> None:
        """Wait until it is the turn of this request's address."""
        if self.is_free:
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = place_of(request.client.host if request.client else "")
        self._waiting.setdefault(place, deque()).append((future, request.is_disconnected))
        if self._turns is None or self._turns.done():
            self._turns = asyncio.create_task(self._give_turns())
        await future

    async def _give_turns(self) -> None:
        while self._waiting:
            place, waiters = self._waiting.popitem(last=False)
            future, is_gone = waiters.popleft()
            if waiters:
                self._waiting[place] = waiters
            gone = future.done() or await is_gone()
            if not future.done():
                future.set_result(None)
            # A client that did not wait for its turn learns nothing from it, and it costs the others nothing.
            if not gone:
                await asyncio.sleep(TURN_SECONDS)

    def _recent(self) -> float:
        """The wrong passwords that count: one less for each `FREE_SECONDS`, and no more than are free."""
        return min(FREE, max(0.0, self._wrong - (self._clock() - self._wrong_at) / FREE_SECONDS))
