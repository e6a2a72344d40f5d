"""The HTTP client: one request, sent once, and an exact answer to whether it was sent.

    NotSentError (providers.protocol)           provably not received
    +-- UnreachableError (providers.protocol)   there is no such host, or nothing listens there
    +-- ForbiddenAddressError               (workers.http.ssrf) refused by ourselves
    UnclearError (providers.protocol)           it was, or may have been, written, and no complete answer came
    +-- TooLargeError                       an answer came that is longer than the caller reads

A paid request must not be sent twice and must not be counted as sent when it was not, so nothing here is left to the
HTTP library's judgement: `workers.http.exchange` notes how far a request has come, and the verdict follows from that.
Any transport of the library's interface will do, so that tests inject one without a network; the library's own client
is not used.
"""

from __future__ import annotations

import asyncio
import errno
import io
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import IO, Self

import aiohttp
import yarl

from providers.http import (
    AsyncBaseTransport,
    ConnectError,
    ConnectTimeout,
    HTTPError,
    InvalidURL,
    PoolTimeout,
    Request,
    Response,
    TimeoutException,
    UnsupportedProtocol,
)
from providers.protocol import MAX_ANSWER_BYTES, NotSentError, Reply, UnclearError, UnreachableError
from workers.http.exchange import UNWRITABLE, Exchange, NotWrittenError, Stage, clock, current, submission
from workers.http.shown_urls import shown_url
from workers.http.ssrf import Guard
from workers.http.transport import build_transport

# What an injected transport raises for a request that never left. The real one is judged by its stage instead.
_NEVER_CONNECTED = (ConnectError, ConnectTimeout, PoolTimeout, UnsupportedProtocol, InvalidURL, NotWrittenError)


class TooLargeError(UnclearError):
    """The answer is longer than the caller is willing to read; the rest was left unread."""


class HttpClient:
    """Sends single requests over one transport; meets `providers.protocol.Http`, and streams for downloads.

    Every URL is checked by `guard` before anything else happens. Close it with `aclose` or ``async with``, on the event
    loop it was used on.
    """

    def __init__(self, transport: AsyncBaseTransport, guard: Guard) -> None:
        self._transport = transport
        self._guard = guard

    async def send(
        self,
        request: Request,
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
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - as above
        write_before: float | None = None,
    ) -> AsyncIterator[Response]:
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
        begun = submission.get()
        if begun is not None and write_before is not None:
            begun.handed_over = True
        self._guard.check_url(request.url)
        await request.aread()
        exchange = _begun(request, timeout, write_before)
        token = current.set(exchange)
        try:
            async with exchange.limit, self._answer(request, exchange) as response:
                yield response
        except (HTTPError, InvalidURL, aiohttp.ClientError, OSError) as error:
            # Not chained: an HTTP library's texts hold the URL with its query, and queries hold signatures.
            raise _verdict(exchange, request, error) from None
        finally:
            if not exchange.finished:
                exchange.abort()
            current.reset(token)

    @asynccontextmanager
    async def _answer(self, request: Request, exchange: Exchange) -> AsyncIterator[Response]:
        try:
            response = await self._transport.handle_async_request(request)
        except (ValueError, InvalidURL) as error:
            if exchange.stage is Stage.HANDED_OVER:
                raise
            # aiohttp, or the codec of host names, cannot put the request into bytes.
            raise NotWrittenError(UNWRITABLE) from error
        response.request = request  # as the library's own client does
        try:
            yield response
            exchange.finished = True
        finally:
            # Before aclose, which waits for a body that is still being written.
            if not exchange.finished:
                exchange.abort()
            await response.aclose()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


def build_client(guard: Guard, *, max_connections: int) -> HttpClient:
    """The production client.

    Connections are pooled per host and were judged by this guard, so accounts with different ``allow_hosts`` need
    clients of their own.

    Args:
        guard: must name the host of the account's ``base_url`` where that is a private or loopback address.
        max_connections: connections open at a time; requests beyond it wait, and that counts as connecting.
    """
    return HttpClient(build_transport(guard, max_connections=max_connections), guard)


async def read_body(response: Response, max_bytes: int, *, heard: Callable[[], object] = lambda: None) -> bytes:
    """Read the body of a response from `HttpClient.stream`, decoded from gzip or deflate; each piece calls `heard`.

    Raises:
        TooLargeError: it is longer than `max_bytes`. At most one decoded chunk beyond that was in memory.
    """
    body = io.BytesIO()
    await copy_body(response, body, max_bytes, heard=heard)
    return body.getvalue()


async def copy_body(
    response: Response, file: IO[bytes], max_bytes: int, *, heard: Callable[[], object] = lambda: None
) -> None:
    """`read_body` into a file, one chunk after the other.

    Raises:
        TooLargeError: it is longer than `max_bytes`; the file then has its beginning.
    """
    size = 0
    async for chunk in response.aiter_bytes():
        heard()
        size += len(chunk)
        if size > max_bytes:
            raise TooLargeError(f"{_name(response.request)}: the answer is longer than {max_bytes:,} bytes")
        file.write(chunk)


def _begun(request: Request, timeout: float, write_before: float | None) -> Exchange:
    connect_within = timeout
    if write_before is not None:
        connect_within = min(timeout, write_before - clock())
        if connect_within <= 0:
            raise NotSentError(f"{_name(request)}: not sent: the deadline for writing it had passed")
    try:
        url = yarl.URL(str(request.url), encoded=True)
    except ValueError:
        raise NotSentError(f"{_name(request)}: not sent: {UNWRITABLE}") from None
    return Exchange(
        url=url,
        timeout=timeout,
        write_before=write_before,
        limit=asyncio.timeout(connect_within),
    )


def _verdict(exchange: Exchange, request: Request, error: Exception) -> NotSentError | UnclearError:
    if exchange.stage is Stage.CONNECTING and exchange.forbidden is not None:
        return exchange.forbidden
    if exchange.stage is Stage.CONNECTING or (exchange.stage is Stage.NEW and isinstance(error, _NEVER_CONNECTED)):
        kind = UnreachableError if _nobody_there(error, request.url.host) else NotSentError
        why = _reason(error, "no connection in time")
        return kind(f"{_name(request)}: not sent: {why}", f"{_name(request)}: {why}")
    why = _reason(error, f"no complete answer within {exchange.timeout:g} s")
    return UnclearError(f"{_name(request)}: may have been received: {why}", f"{_name(request)}: {why}")


def _nobody_there(error: BaseException, host: str) -> bool:
    """Whether the name does not exist or the connection was refused; a name server that fails proves neither."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, ConnectionRefusedError) or getattr(found, "errno", None) == errno.ECONNREFUSED:
            return True
        if isinstance(found, socket.gaierror) and (found.errno in _NO_SUCH_NAME or host.endswith(_NEVER_A_NAME)):
            return True
        found = getattr(found, "os_error", None) or found.__cause__
    return False


_NO_SUCH_NAME = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
_NEVER_A_NAME = ".invalid"  # RFC 6761, 6.4: no such name exists, whatever a name server has to say


def _reason(error: BaseException, timed_out: str) -> str:
    """Why, in words that hold nothing of the request: the texts of HTTP libraries are not to be trusted with that."""
    # A time-out's cause is the cancellation it was made of.
    while error.__cause__ is not None and not isinstance(error, TimeoutError | NotWrittenError):
        error = error.__cause__
    if isinstance(error, NotWrittenError):
        return str(error)
    if isinstance(error, OSError) and not isinstance(error, aiohttp.ClientError) and error.strerror:
        return f"{type(error).__name__}: {error.strerror}"
    if isinstance(error, TimeoutError | TimeoutException):
        return timed_out
    return type(error).__name__


def _name(request: Request) -> str:
    """Method and URL without query, which may hold signatures, and without credentials."""
    return f"{request.method} {shown_url(str(request.url))}"
