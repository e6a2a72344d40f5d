"""The protocol: uvicorn's HTTP/1.1 with limits for connections, and an end that the other side can understand.

uvicorn has a time-out between two requests only. It has none for a request that never ends or for an answer that nobody
reads, limits tasks but not connections, and reads the body of a request that is answered already to its end.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from web.connections import CONNECTION, Connections, Phase, place_of
from web.front import cut
from web.listener import arrived, is_over

LINGER_BYTES = 256 * 1024  # read and thrown away after the answer, so that it is not lost in a reset of the connection
STEP_BYTES = 64 * 1024  # of an answer, as much as must be read in the time for which nobody may read at all
MISTAKE_SECONDS = 1.0  # before who sends no HTTP is told so: who makes mistakes without end waits, and others do not
LOOK_SECONDS = 1.0  # between two looks for connections that have waited too long
END_SECONDS = 5.0  # in which answers are read, when the process ends; the other side asks again, elsewhere or later
FULL = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class LimitedProtocol(H11Protocol):
    """One connection."""

    def __init__(self, connections: Connections, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.place = ""
        #: What the request waits for while others try their secrets; False is given to it when the other side is gone.
        self.turn: asyncio.Future[bool] | None = None
        self._connections = connections
        self._since = self.loop.time()  # for which it waits as it does
        self._paused_at: float | None = None
        self._unsent = 0  # bytes then
        self._dropped = 0
        self._mistake: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count the connection, or refuse it."""
        super().connection_made(_Gentle(transport, self))  # type: ignore[arg-type]
        self.place = place_of(self.client[0]) if self.client else ""
        if not self._connections.watched:
            self._connections.watched = True
            self.loop.call_later(LOOK_SECONDS, _look_after, self._connections, self.loop)
        if not self._connections.admit(self, self.loop.time()):
            self.transport.write(FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection, and let its request wait for nothing."""
        if self.turn is not None and not self.turn.done():
            self.turn.set_result(False)
        if self._mistake is not None:
            self._mistake.cancel()
        self._connections.leave(self)
        super().connection_lost(exc)

    def waiting(self, now: float) -> tuple[Phase, float]:
        """What the connection waits for, and for how many seconds."""
        if self._paused_at is None:
            return self._phase(), now - self._since
        unsent = self.transport.get_write_buffer_size()
        if self._unsent - unsent >= STEP_BYTES:
            self._paused_at, self._unsent = now, unsent
        return Phase.READING, now - self._paused_at

    def drop(self) -> None:
        """End it at once, with whatever is unsent."""
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read a part of a request; what comes after the last answer, or after a mistake, is thrown away."""
        if not self.transport.is_closing() and self._mistake is None:
            super().data_received(data)
            return
        self._dropped += len(data)
        if self._dropped > LINGER_BYTES:
            self.drop()

    def handle_events(self) -> None:
        """Note when a request begins."""
        before = self.cycle
        super().handle_events()
        if self.cycle is not before:
            self._since = self.loop.time()
            scope = cast("dict[str, Any]", self.scope)  # its task has not begun
            scope[CONNECTION] = self
            cut(scope)

    def send_400_response(self, msg: str) -> None:
        """Say after a while that this was no HTTP, of which nothing is kept meanwhile."""
        self._since = self.loop.time()
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            self.conn = h11.Connection(h11.SERVER)
        self._mistake = self.loop.call_later(MISTAKE_SECONDS, self._tell, msg)

    def on_response_complete(self) -> None:
        """Note when an answer is complete; one that came before the end of its request is the last."""
        self._since = self.loop.time()
        if self.is_unread:
            self.transport.close()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note since when the other side does not read."""
        self._paused_at, self._unsent = self.loop.time(), self.transport.get_write_buffer_size()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the other side reads again; for what is left of the answer it has all of its time."""
        self._paused_at, self._since = None, self.loop.time()
        super().resume_writing()

    def closing(self) -> None:
        """Note since when the other side may read the last answer."""
        self._since = self.loop.time()

    @property
    def is_unread(self) -> bool:
        """Whether the other side may still send a request that is not wanted."""
        return self._mistake is not None or self.conn.their_state in {h11.SEND_BODY, h11.ERROR}

    def _tell(self, mistake: str) -> None:
        if not self.transport.is_closing() and self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            super().send_400_response(mistake)

    def _phase(self) -> Phase:
        if self.transport.is_closing():
            return Phase.READING if self.transport.get_write_buffer_size() else Phase.CLOSING
        if self._mistake is not None:
            return Phase.TURN
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_complete:
            return self._unheard() or (Phase.SILENT if cycle is None else Phase.IDLE)
        if self.turn is not None and not self.turn.done():
            return Phase.TURN
        return Phase.BODY if cycle.more_body else Phase.BUSY

    def _unheard(self) -> Phase | None:
        """What has come from the other side and waits to be read: a request, which waits for us, or the end."""
        line = self.transport.get_extra_info("socket")
        if is_over(line):
            return Phase.CLOSING
        return Phase.BUSY if arrived(line) else None


class _Gentle:
    """A transport that, when it is closed, first lets the other side read: its unread request would reset it."""

    def __init__(self, transport: asyncio.Transport, protocol: LimitedProtocol) -> None:
        self._transport = transport
        self._protocol = protocol
        self._closing = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def is_closing(self) -> bool:
        return self._closing or self._transport.is_closing()

    def close(self) -> None:
        if self.is_closing():
            return
        self._closing = True
        self._protocol.closing()
        if not self._protocol.is_unread:
            self._transport.close()
            return
        try:
            self._transport.write_eof()
            self._transport.resume_reading()
        except OSError:  # the other side has reset it
            self._transport.abort()


def _look_after(connections: Connections, loop: asyncio.AbstractEventLoop) -> None:
    """Drop connections that have waited too long, and look again for as long as there are any."""
    connections.end_overdue(loop.time())
    connections.watched = bool(connections)
    if connections:
        loop.call_later(LOOK_SECONDS, _look_after, connections, loop)


def end(connections: Connections) -> None:
    """Drop the connections that wait for the other side: a process that ends waits for its own answers alone."""
    loop = asyncio.get_running_loop()
    connections.end(Phase.BODY, loop.time())
    loop.call_later(END_SECONDS, lambda: connections.end(Phase.READING, loop.time()))
