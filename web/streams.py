"""Answers that last: nothing of a stream stays behind, however it ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

EVENTS = "text/event-stream"
RETRY = b"retry: 2000\n\n"  # milliseconds before a client asks again
ALIVE_SECONDS = 15.0  # between two signs of life: proxies end what is silent for 60 s
LONGEST_SECONDS = 600.0  # of one answer: who may not listen any more hears nothing after that; clients ask again


class Lasting(StreamingResponse):
    """An answer that lasts.

    Args:
        told: what is sent.
        kind: its media type.
        headers: further headers.
        ended: called once the answer has ended, also where the client was gone before the first word.
    """

    def __init__(
        self, told: AsyncGenerator[bytes, None], kind: str, headers: Mapping[str, str], ended: Callable[[], None]
    ) -> None:
        super().__init__(told, media_type=kind, headers=headers)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


class EventStream(Lasting):
    """Server-sent events."""

    def __init__(self, told: AsyncGenerator[bytes, None], ended: Callable[[], None]) -> None:
        # Proxies would wait for more of it before they pass it on.
        super().__init__(told, EVENTS, {"X-Accel-Buffering": "no"}, ended)
