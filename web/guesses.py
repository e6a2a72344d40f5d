"""The limiter of guesses at secrets: after some wrong ones, each address has its turn, and each turn is one secret.

A secret is compared or looked up only at its turn (`web.turns`), so that giving up early tells a guesser nothing, and
guesses cost the database a bounded number of looks. Nobody is locked out. Who has shown the right secret before waits
for no turn: a browser by a pass (a cookie) for its password, everybody else because the secret is remembered here.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

from starlette.requests import Request

from web.turns import Turns
from workers.cache import Cache

T = TypeVar("T")

FREE = 10  # wrong secrets, and ones that are being tried, that make nobody wait: people mistype
FREE_SECONDS = 6.0  # after which one more is free again
TURN_SECONDS = 0.05  # between two secrets: 20 guesses a second do not endanger twelve characters
SIDE_BY_SIDE = 2  # secrets that are tried while others wait: a password takes a core for a twentieth of a second
REMEMBERED = 4096  # secrets that were right lately, as digests of some hundred bytes each
WRONG_SECONDS = 10.0  # for which a wrong one is wrong without a look: a page asks some sixty times with its old cookie
REMEMBERED_SECONDS = 3600.0  # after which one takes a turn again


class GuessLimiter:
    """Turns of addresses; used from one event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._wrong, self._wrong_at = 0.0, clock()
        self._trying, self._few = 0, asyncio.Event()
        self._few.set()
        self._right: Cache[bytes, bool] = Cache(REMEMBERED, REMEMBERED_SECONDS)
        self._lately_wrong: Cache[bytes, bool] = Cache(REMEMBERED, WRONG_SECONDS)
        self._turns = Turns(self._pause)

    @property
    def is_free(self) -> bool:
        """Whether secrets are tried without waiting."""
        return self._has_room and not self._turns

    def was_wrong(self) -> None:
        """Count a wrong secret."""
        self._wrong, self._wrong_at = self._recent() + 1, self._clock()

    async def find(self, request: Request, secret: str, look: Callable[[], Awaitable[T | None]]) -> T | None:
        """What `look` finds for a secret, at this request's turn; without waiting for a secret that was right before.

        None is a wrong secret. One that is tried again is told so at once, and counts once.
        """
        known_as = hashlib.sha256(secret.encode(errors="replace")).digest()
        found = await self._found(request, known_as, look)
        if found is not None:
            self._right.put(known_as, True)
        elif known_as not in self._lately_wrong:
            self._right.drop(known_as)
            self._lately_wrong.put(known_as, True)
            self.was_wrong()
        return found

    async def _found(self, request: Request, known_as: bytes, look: Callable[[], Awaitable[T | None]]) -> T | None:
        if known_as in self._right:
            return await look()
        if known_as in self._lately_wrong:
            return None
        async with self.trial(request):
            # The same one may have been tried meanwhile.
            return None if known_as in self._lately_wrong else await look()

    @asynccontextmanager
    async def trial(self, request: Request) -> AsyncIterator[None]:
        """The turn of this request's address, for as long as its secret is tried."""
        await self.turn(request)
        self._try(+1)
        try:
            yield
        finally:
            self._try(-1)

    def _try(self, more: int) -> None:
        self._trying += more
        if self._trying < SIDE_BY_SIDE:
            self._few.set()
        else:
            self._few.clear()

    async def turn(self, request: Request) -> None:
        """Wait until it is the turn of this request's address.

        Raises:
            ClientDisconnect: the client is gone before that.
        """
        if not self.is_free:
            await self._turns.wait(request.scope)

    async def _pause(self) -> None:
        if self._has_room:
            await asyncio.sleep(0)
            return
        await asyncio.sleep(TURN_SECONDS)
        await self._few.wait()

    @property
    def _has_room(self) -> bool:
        return self._recent() + self._trying < FREE

    def _recent(self) -> float:
        """The wrong secrets that count: one less for each `FREE_SECONDS`, and no more than are free."""
        return min(FREE, max(0.0, self._wrong - (self._clock() - self._wrong_at) / FREE_SECONDS))
