"""The one module that builds HTTP clients: one request, sent once, and a truthful word on whether it was sent.

    NotSentError (providers.protocol)           provably not received
    +-- ForbiddenAddressError               (workers.http.ssrf) refused by ourselves
    UnclearError (providers.protocol)           it was, or may have been, written, and no complete answer came
    +-- TooLargeError                       an answer came that is longer than the caller reads

A paid request must not be sent twice and must not be counted as sent when it was not, so nothing here is left to the
HTTP library's judgement. aiohttp's connector is the place where a request stops being ours alone: until
`_Connector.connect` returns, no byte of it can have left, and from then on every failure is unclear. Exception classes
cannot tell this, because aiohttp's "server disconnected" and httpx-aiohttp's `ConnectTimeout` both also stand for a
connection that broke after the request was read at the other end.

`httpx` gives the request and response types and the transport interface, so that tests inject `httpx.MockTransport`;
`httpx.Client` is not used, and aiohttp's retries, redirects, cookies and proxies from the environment are off.
Certificate authorities are certifi's, or those that ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Self

import aiohttp
import httpx
import yarl
from aiohttp.abc import AbstractStreamWriter
from aiohttp.connector import Connection
from httpx_aiohttp import AiohttpTransport

from providers.protocol import MAX_ANSWER_BYTES, NotSentError, Reply, UnclearError
from workers.http.ssrf import ForbiddenAddressError, Guard

# Common servers drop idle connections after 5 s (Node.js, uvicorn). One that does so while our request is on its way
# turns a paid POST into an unclear one, so ours are dropped well before.
KEEPALIVE_SECONDS = 3.0
# The kernel gives up on bytes nobody acknowledges after this long. It bounds how long the request of a process that is
# frozen, and cannot abort its sockets, may still be on its way; keep it below the time-out of a submission (30 s).
UNACKED_MILLISECONDS = 15_000
# Longer bodies go out in pieces of this size, each only while the request's time runs.
PIECE_BYTES = 256 * 1024

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

# What an injected transport raises for a request that never left. The real one is judged by its stage instead.
_NEVER_CONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)


class TooLargeError(UnclearError):
    """The answer is longer than the caller is willing to read; the rest was left unread."""


class _NotWrittenError(aiohttp.ClientConnectionError):
    """Raised inside aiohttp to keep it from writing; the text is our own and safe to show."""


def clock() -> float:
    """Seconds on the clock that `write_before` is read on: monotonic, and running on while the machine is suspended."""
    if hasattr(time, "CLOCK_BOOTTIME"):
        return time.clock_gettime(time.CLOCK_BOOTTIME)
    return time.monotonic()


class _Stage(Enum):
    NEW = auto()
    CONNECTING = auto()  # the connector has it; nothing can have been written
    HANDED_OVER = auto()  # a connection has it


@dataclass(slots=True)
class _Wire:
    """How far one request has come. A context variable carries it through aiohttp, whose tasks copy the context."""

    url: yarl.URL
    timeout: float
    write_before: float | None
    limit: asyncio.Timeout
    stage: _Stage = _Stage.NEW
    over_at: float = 0.0  # on `clock`, from the hand-over on
    connection: Connection | None = None
    transport: asyncio.Transport | None = None
    forbidden: ForbiddenAddressError | None = None

    def hand_over(self, connection: Connection) -> None:
        """From here on bytes may be written, and the time-out of the exchange runs."""
        self.connection, self.transport = connection, connection.transport
        self.stage = _Stage.HANDED_OVER
        self.over_at = clock() + self.timeout
        if self.write_before is not None:
            self.limit.reschedule(asyncio.get_running_loop().time() + self.timeout)

    def require_time_to_write(self) -> None:
        if self.write_before is not None and clock() >= self.write_before:
            self.stage = _Stage.CONNECTING
            raise _NotWrittenError("the time to write it had passed")

    async def pieces(self, body: bytes) -> AsyncIterator[memoryview]:
        """A long body, piece by piece; a process that was frozen half-way through must not complete it later."""
        view = memoryview(body)
        for start in range(0, len(view), PIECE_BYTES):
            if clock() >= self.over_at:
                raise _NotWrittenError("its time was over before all of it was written")
            yield view[start : start + PIECE_BYTES]

    def abort(self) -> None:
        """Throw away what is still buffered. aiohttp closes gently, and would go on sending a large body.

        A connection that went back to the pool after its answer may already serve another request, and is left alone.
        """
        if self.transport is None or self.connection is None:
            return
        if self.connection.transport is self.transport or self.transport.is_closing():
            self.transport.abort()


_wire: ContextVar[_Wire] = ContextVar("recast_http_wire")


class _Request(aiohttp.ClientRequest):
    """aiohttp's request with the URL as it was given, and a last look at the clock before a body is written."""

    def __init__(self, method: str, url: yarl.URL, **options: Any) -> None:
        wire = _wire.get()
        body = options.get("data")
        if isinstance(body, bytes) and len(body) > PIECE_BYTES:
            options["data"] = wire.pieces(body)
        # The transport passes the URL as text and aiohttp would quote it anew, `%2F` to `/` and `%7E` to `~`, which
        # breaks URLs that are signed as they are written.
        del url
        super().__init__(method, wire.url, **options)

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        # Until Python 3.12 this runs in a later turn of the loop than `connect`, and the process may have been stopped
        # in between. The headers are still buffered here: they leave together with the body.
        try:
            _wire.get().require_time_to_write()
        except _NotWrittenError as error:
            if conn.protocol is not None:
                conn.protocol.set_exception(error)
            return
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
        wire = _wire.get()
        if wire.stage is not _Stage.NEW:
            # aiohttp sends GET, PUT and DELETE again by itself when a reused connection breaks. It must not: PiktID's
            # token refresh is a PUT that may be sent once, and the caller decides about all others.
            raise _NotWrittenError("the connection was lost before an answer came")
        wire.stage = _Stage.CONNECTING
        connection = await super().connect(req, traces, timeout)
        try:
            wire.require_time_to_write()
        except _NotWrittenError:
            connection.close()
            raise
        wire.hand_over(connection)
        return connection

    def _socket(self, addr_info: tuple[Any, Any, int, str, tuple[Any, ...]]) -> socket.socket:
        family, kind, protocol, _, sockaddr = addr_info
        wire = _wire.get()
        try:
            self._guard.check_address(wire.url.raw_host or "", sockaddr)
        except ForbiddenAddressError as error:
            # Happy eyeballs copes with OSError only; another address of the same host may be a public one.
            wire.forbidden = error
            raise PermissionError(str(error)) from error
        made = socket.socket(family, kind, protocol)
        for level, option, value in _SOCKET_OPTIONS:
            made.setsockopt(level, option, value)
        return made


class HttpClient:
    """Sends single requests over one transport; meets `providers.protocol.Http`, and streams for downloads.

    Every URL is checked by `guard` before anything else happens. Close it with `aclose` or ``async with``, on the event
    loop it was used on.
    """

    def __init__(self, transport: httpx.AsyncBaseTransport, guard: Guard) -> None:
        self._transport = transport
        self._guard = guard

    async def send(
        self,
        request: httpx.Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of the Http protocol: it ends in NotSentError or UnclearError
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Send `request` and read its whole answer; see `stream` for the time limits and errors.

        Raises:
            TooLargeError: the decoded answer is longer than `max_bytes`.
        """
        async with self.stream(request, timeout=timeout, write_before=write_before) as response:
            body = await read_body(response, max_bytes)
        return Reply(status=response.status_code, headers=dict(response.headers.items()), body=body)

    @asynccontextmanager
    async def stream(
        self,
        request: httpx.Request,
        *,
        timeout: float,  # noqa: ASYNC109 - as above
        write_before: float | None = None,
    ) -> AsyncIterator[httpx.Response]:
        """Send `request` and give out the response with its body unread; the body is read inside the block.

        Args:
            request: its body is brought into memory. URL and headers go out as they are.
            timeout: seconds for connecting, writing and reading together. With `write_before` it runs from the moment a
                connection is there, and connecting ends at `write_before`.
            write_before: instant on `clock` after which no byte is written any more.

        Raises:
            ForbiddenAddressError: the guard refused the URL or the address.
            NotSentError: provably nothing was received.
            UnclearError: anything else that is not a complete answer. The connection is then aborted.
        """
        self._guard.check_url(request.url)
        await request.aread()
        connect_within = timeout
        if write_before is not None:
            connect_within = min(timeout, write_before - clock())
            if connect_within <= 0:
                raise NotSentError(f"{_name(request)}: not sent: the time to write it had passed")
        wire = _Wire(
            url=yarl.URL(str(request.url), encoded=True),
            timeout=timeout,
            write_before=write_before,
            limit=asyncio.timeout(connect_within),
        )
        token = _wire.set(wire)
        finished = False
        try:
            async with wire.limit:
                response = await self._transport.handle_async_request(request)
                response.request = request  # as httpx.Client does
                try:
                    yield response
                    finished = True
                finally:
                    # Before aclose, which waits for a body that is still being written.
                    if not finished:
                        wire.abort()
                    await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, aiohttp.ClientError, OSError) as error:
            # Not chained: an HTTP library's texts hold the URL with its query, and queries hold signatures.
            raise _verdict(wire, request, error) from None
        finally:
            if not finished:
                wire.abort()
            _wire.reset(token)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def build_client(guard: Guard, *, max_connections: int) -> HttpClient:
    """The production client: aiohttp under httpx's transport interface, connections opened at the first request.

    Connections are pooled per host and were judged by this guard, so accounts with different ``allow_hosts`` need
    clients of their own.

    Args:
        guard: must name the host of the account's ``base_url`` where that is a private or loopback address.
        max_connections: connections open at a time; requests beyond it wait, and that counts as connecting.
    """

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
    return HttpClient(AiohttpTransport(verify=_ssl_context(), client=session), guard)


async def read_body(response: httpx.Response, max_bytes: int, *, heard: Callable[[], object] = lambda: None) -> bytes:
    """Read the body of a response from `HttpClient.stream`, decoded from gzip or deflate; each piece calls `heard`.

    Raises:
        TooLargeError: it is longer than `max_bytes`. At most one decoded chunk beyond that was in memory.
    """
    chunks: list[bytes] = []
    size = 0
    async for chunk in response.aiter_bytes():
        heard()
        size += len(chunk)
        if size > max_bytes:
            raise TooLargeError(f"{_name(response.request)}: the answer is longer than {max_bytes:,} bytes")
        chunks.append(chunk)
    return b"".join(chunks)


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Built once: reading the certificate authorities takes tens of milliseconds."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _verdict(wire: _Wire, request: httpx.Request, error: Exception) -> NotSentError | UnclearError:
    if wire.stage is _Stage.CONNECTING and wire.forbidden is not None:
        return wire.forbidden
    if wire.stage is _Stage.CONNECTING or (wire.stage is _Stage.NEW and isinstance(error, _NEVER_CONNECTED)):
        return NotSentError(f"{_name(request)}: not sent: {_reason(error, 'no connection in time')}")
    late = f"no complete answer within {wire.timeout:g} s"
    return UnclearError(f"{_name(request)}: perhaps received: {_reason(error, late)}")


def _reason(error: BaseException, timed_out: str) -> str:
    """Why, in words that hold nothing of the request: the texts of HTTP libraries are not to be trusted with that."""
    # A time-out's cause is the cancellation it was made of.
    while error.__cause__ is not None and not isinstance(error, TimeoutError):
        error = error.__cause__
    if isinstance(error, _NotWrittenError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return timed_out
    return type(error).__name__


def _name(request: httpx.Request) -> str:
    """Method and URL without query, which may hold signatures, and without credentials."""
    url = request.url
    return f"{request.method} {url.scheme}://{url.netloc.decode('ascii', 'replace')}{url.path}"
