"""One HTTP exchange: how far its request has come, and until when it may still be written.

aiohttp's connector is the place where a request stops being ours alone: until its `connect` returns, no byte of the
request can have left, and from then on every failure is unclear. Exception classes do not show this, because aiohttp's
"server disconnected" and httpx-aiohttp's `ConnectTimeout` both also stand for a connection that broke after the request
was read at the other end.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto

import aiohttp
import yarl
from aiohttp.connector import Connection

from workers.http.ssrf import ForbiddenAddressError

# Longer bodies go out in pieces of this size, each only while the request's time runs.
PIECE_BYTES = 256 * 1024

UNWRITABLE = "its address or a header contains a character that cannot be sent; check the base_url and the credentials"


class NotWrittenError(aiohttp.ClientConnectionError):
    """Raised inside aiohttp to keep it from writing; the text is our own and safe to show."""


def clock() -> float:
    """Seconds on the clock that `write_before` is read on: monotonic, and running on while the machine is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class Stage(Enum):
    """How far a request has come."""

    NEW = auto()
    CONNECTING = auto()  # the connector has it; nothing can have been written
    HANDED_OVER = auto()  # a connection has it


@dataclass(slots=True)
class Exchange:
    """A request on its way. A context variable carries it through aiohttp, whose tasks copy the context."""

    url: yarl.URL
    timeout: float
    write_before: float | None
    limit: asyncio.Timeout
    stage: Stage = Stage.NEW
    over_at: float = 0.0  # on `clock`, from the hand-over on
    connection: Connection | None = None
    transport: asyncio.Transport | None = None
    forbidden: ForbiddenAddressError | None = None
    writing: bool = False  # a body is being written, and with it the headers
    finished: bool = False  # the answer was read, or wanted no further

    def hand_over(self, connection: Connection) -> None:
        """From here on bytes may be written, and the time-out of the exchange runs."""
        self.connection, self.transport = connection, connection.transport
        self.stage = Stage.HANDED_OVER
        self.over_at = clock() + self.timeout
        if self.write_before is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + self.timeout)

    def require_time_to_write(self) -> None:
        """Raise NotWrittenError when the time to write has passed."""
        if self.write_before is not None and clock() >= self.write_before:
            self.stage = Stage.CONNECTING
            raise NotWrittenError("the deadline for writing it had passed")

    async def pieces(self, body: bytes) -> AsyncIterator[memoryview]:
        """A long body, piece by piece; a process that was frozen half-way through must not complete it later."""
        view = memoryview(body)
        for start in range(0, len(view), PIECE_BYTES):
            if clock() >= self.over_at:
                raise NotWrittenError("the deadline passed before all of it was written")
            yield view[start : start + PIECE_BYTES]

    def abort(self) -> None:
        """Throw away what is still buffered. aiohttp closes gently, and would continue to send a large body.

        A connection that went back to the pool after its answer may already serve another request, and is left alone.
        """
        if self.transport is None or self.connection is None:
            return
        if self.connection.transport is self.transport or self.transport.is_closing():
            self.transport.abort()


@dataclass(slots=True)
class Submission:
    """Whether the request of a submission was handed to the HTTP client; before that, nothing can have been paid."""

    handed_over: bool = False


#: The submission that the code running now belongs to.
submission: ContextVar[Submission | None] = ContextVar("recast_submission", default=None)
#: The exchange that the code running now belongs to.
current: ContextVar[Exchange] = ContextVar("recast_http_exchange")
