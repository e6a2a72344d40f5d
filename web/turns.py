"""Turns: requests that wait, and addresses that take turns with them.

However many requests one address has, another one waits for no more than one of each address. A connection whose
request waits makes room for new ones, and one that is gone has no turn.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.types import Scope

from web.connections import CONNECTION, place_of


class Turns:
    """Requests that wait for their turns; for one event loop.

    Args:
        pause: waits between two turns.
    """

    def __init__(self, pause: Callable[[], Awaitable[None]]) -> None:
        self._pause = pause
        self._waiting: OrderedDict[str, deque[asyncio.Future[bool]]] = OrderedDict()
        self._giving: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    async def wait(self, scope: Scope) -> None:
        """Wait until it is the turn of this request's address.

        Raises:
            ClientDisconnect: the client is gone before that.
        """
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        connection = scope.get(CONNECTION)
        if connection is not None:
            connection.turn = future
        self._waiting.setdefault(place_in(scope), deque()).append(future)
        if self._giving is None or self._giving.done():
            self._giving = asyncio.create_task(self._give())
        if not await future:
            raise ClientDisconnect

    async def _give(self) -> None:
        while self._waiting:
            place, waiters = self._waiting.popitem(last=False)
            future = waiters.popleft()
            if waiters:
                self._waiting[place] = waiters
            # A client that did not wait for its turn learns nothing from it, and it costs the others nothing.
            # Told by its connection: to ask the request would read a part of its body.
            if not future.done():
                future.set_result(True)
                await self._pause()


def place_in(scope: Scope) -> str:
    """The address that a request comes from, as connections are counted by it."""
    return place_of((scope.get("client") or ("",))[0])
