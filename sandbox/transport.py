"""Answers that no ordinary server gives (a reset connection, silence), and the sandbox's own trusted TLS authorities.

ASGI knows nothing of connections, so the sandbox runs uvicorn with a protocol that puts a `reset` function for its own
connection into each request's ASGI state.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from functools import cache, partial

from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from providers.http import create_ssl_context

LINGER_NOT = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: closing sends RST and drops what is unsent


@cache
def trusted() -> ssl.SSLContext:
    """Return the authorities that are trusted; reading them takes as long as everything else a sandbox opens."""
    return create_ssl_context(trust_env=False)


def _reset(transport: asyncio.Transport) -> None:
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    transport.abort()


class ResettableProtocol(H11Protocol):
    """uvicorn's HTTP/1.1, whose requests carry ``scope["state"]["reset"]``."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Bind `reset` to this connection; uvicorn copies `app_state` into each request's scope."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, "reset": partial(_reset, transport)}


class Silence(Response):
    """No answer, for as long as the client waits."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Wait for the client to go."""
        del scope, send
        while (await receive())["type"] != "http.disconnect":
            pass


class Reset(Silence):
    """The connection is reset instead of an answer.

    Raises ConnectionResetError where no server of ours carries the request (an in-process test client).
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Reset the connection, and wait for the server to notice: an answer sent earlier would be an error."""
        reset = scope.get("state", {}).get("reset")
        if reset is None:
            raise ConnectionResetError("the sandbox was told to reset this connection")
        reset()
        await super().__call__(scope, receive, send)
