"""Sessions of providers: where workers keep temporary tokens, and which worker renews them.

A single-use refresh token must never be sent twice: PiktID treats that as an attack and revokes every token of the
user (PiktID's refresh page). So a worker that is about to spend one first commits that it will (`Renewal.begin`). A
worker that finds such a mark without the session that should have followed logs in again and does not use the old
token.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Renewal(Protocol):
    """The right to renew one account's session; one worker at a time has it."""

    @property
    def session(self) -> bytes | None:
        """The session as it is now: another worker may have renewed it while this one waited."""
        ...

    @property
    def interrupted(self) -> bool:
        """Whether an earlier renewal began and no session followed: its single-use token may be spent."""
        ...

    async def begin(self) -> None:
        """Commit that a single-use token is about to be sent."""
        ...

    async def save(self, session: bytes) -> None:
        """Commit the new session and take the mark of `begin` away."""
        ...


class Sessions(Protocol):
    """One account's session, encrypted at rest and shared by every worker."""

    async def load(self) -> bytes | None:
        """The session that was saved last, or None."""
        ...

    def renewal(self) -> AbstractAsyncContextManager[Renewal]:
        """Wait until no other worker renews the session, and keep others waiting until the block is left."""
        ...


class MemorySessions:
    """A session for one process: for checks of credentials and for tests."""

    def __init__(self, session: bytes | None = None) -> None:
        self.session = session
        self.interrupted = False
        self._lock = asyncio.Lock()

    async def load(self) -> bytes | None:
        """The session that was saved last, or None."""
        return self.session

    @asynccontextmanager
    async def renewal(self) -> AsyncIterator[Renewal]:
        """Wait until no other task renews the session."""
        async with self._lock:
            yield self

    async def begin(self) -> None:
        """Mark that a single-use token is about to be sent."""
        self.interrupted = True

    async def save(self, session: bytes) -> None:
        """Keep the new session and take the mark away."""
        self.session, self.interrupted = session, False
