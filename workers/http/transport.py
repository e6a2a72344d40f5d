"""The transport that carries requests: aiohttp under httpx's interface, held to one try and guarded addresses.

aiohttp's retries, redirects, cookies and proxies from the environment are off: a proxy would resolve names and connect
by itself, where the guard does not see the address. Certificate authorities are certifi's,
or those that ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names.
"""

from __future__ import annotations

import functools
import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any

import aiohttp
import yarl
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

from providers.http import create_ssl_context
from workers.http.exchange import PIECE_BYTES, UNWRITABLE, NotWrittenError, Stage, current
from workers.http.ssrf import ForbiddenAddressError, Guard

__all__ = ["AiohttpTransport", "build_transport"]

# Common servers drop idle connections after 5 s (Node.js, uvicorn). One that does so while our request is on its way
# turns a paid POST into an unclear one, so ours are dropped well before.
KEEPALIVE_SECONDS = 3.0
# The kernel gives up on unacknowledged bytes after this long. It bounds how long the request of a process that is
# frozen, and cannot abort its sockets, may still be on its way; keep it below the time-out of a submission (30 s).
UNACKED_MILLISECONDS = 15_000

#: Variables, in either case, by which other programs find a proxy.
PROXIES = frozenset({"https_proxy", "http_proxy", "all_proxy"})

_SOCKET_OPTIONS = tuple(
    (level, getattr(socket, name), value)
    for level, name, value in (
        (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
        # Probes keep a silent connection alive in NAT tables and firewalls while a slow provider works.
        (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
        (socket.IPPROTO_TCP, "TCP_KEEPIDLE", 15),
        (socket.IPPROTO_TCP, "TCP_KEEPINTVL", 5),
        (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", UNACKED_MILLISECONDS),
        # Closing aborts: unsent bytes are thrown away and the peer sees a reset, so that a request given up after its
        # time-out cannot be delivered later. An answer read to its end loses nothing by it.
        (socket.SOL_SOCKET, "SO_LINGER", struct.pack("ii", 1, 0)),
    )
    if hasattr(socket, name)  # macOS lacks some of them
)


def proxies(environ: Mapping[str, str]) -> list[str]:
    """The variables that name a proxy, which is not used; their values may hold a password."""
    return sorted(name for name, value in environ.items() if name.lower() in PROXIES and value.strip())


def build_transport(guard: Guard, *, max_connections: int) -> AiohttpTransport:
    """A transport whose connections are opened at the first request, to addresses that `guard` lets through."""

    def session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=_Connector(guard, max_connections=max_connections),
            request_class=_Request,
            cookie_jar=aiohttp.DummyCookieJar(),
            # Answers are small; a compressed one would only be one more thing that can be malformed. Servers that
            # compress all the same are understood.
            headers={"Accept-Encoding": "identity", "User-Agent": "recast"},
        )

    # `verify` only keeps the transport from building a TLS context that it would not use.
    return AiohttpTransport(verify=_ssl_context(), client=session)


class _Request(aiohttp.ClientRequest):
    """aiohttp's request with the URL as it was given, and a last check of the clock before a body is written."""

    def __init__(self, method: str, url: yarl.URL, **options: Any) -> None:
        exchange = current.get()
        body = options.get("data")
        if isinstance(body, bytes) and len(body) > PIECE_BYTES:
            options["data"] = exchange.pieces(body)
        # The transport passes the URL as text and aiohttp would quote it anew, `%2F` to `/` and `%7E` to `~`, which
        # breaks URLs that are signed as they are written.
        del url
        super().__init__(method, exchange.url, **options)

    async def send(self, conn: Connection) -> aiohttp.ClientResponse:
        """Send as aiohttp does; what cannot be put into a head, such as a line end in a header, is not written."""
        exchange = current.get()
        try:
            return await super().send(conn)
        except ValueError as error:
            # aiohttp puts the whole head together before it writes the first byte of it.
            if exchange.writing:
                raise
            exchange.stage = Stage.CONNECTING
            raise NotWrittenError(UNWRITABLE) from error

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        # Until Python 3.12 this runs in a later turn of the loop than `connect`, and the process may have been stopped
        # in between. The headers are still buffered here: they leave together with the body.
        try:
            current.get().require_time_to_write()
        except NotWrittenError as error:
            if conn.protocol is not None:
                conn.protocol.set_exception(error)
            return
        current.get().writing = True
        await super().write_bytes(writer, conn, content_length)


class _Connector(aiohttp.TCPConnector):
    """Connects to guarded addresses only, and marks the moment from which bytes may be written."""

    def __init__(self, guard: Guard, *, max_connections: int) -> None:
        super().__init__(
            ssl=_ssl_context(),
            limit=max_connections,
            keepalive_timeout=KEEPALIVE_SECONDS,
            socket_factory=self._socket,
        )
        self._guard = guard

    async def connect(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109
    ) -> Connection:
        exchange = current.get()
        if exchange.stage is not Stage.NEW:
            # aiohttp sends GET, PUT and DELETE again by itself when a reused connection breaks. It must not: PiktID's
            # token refresh is a PUT that may be sent once, and the caller decides about all others.
            raise NotWrittenError("the connection was lost before an answer came")
        exchange.stage = Stage.CONNECTING
        connection = await super().connect(req, traces, timeout)
        try:
            exchange.require_time_to_write()
        except NotWrittenError:
            connection.close()
            raise
        exchange.hand_over(connection)
        return connection

    def _socket(self, addr_info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, sockaddr = addr_info
        exchange = current.get()
        try:
            self._guard.check_address(exchange.url.raw_host or "", sockaddr)
        except ForbiddenAddressError as error:
            # Happy eyeballs copes with OSError only; another address of the same host may be a public one.
            exchange.forbidden = error
            raise PermissionError(str(error)) from error
        made = socket.socket(family, kind, protocol)
        for level, option, value in _SOCKET_OPTIONS:
            made.setsockopt(level, option, value)
        return made


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Built once: reading the certificate authorities takes tens of milliseconds."""
    context = create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context
