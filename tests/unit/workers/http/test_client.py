"""The HTTP client against servers on loopback that misbehave in every way that matters to money."""

from __future__ import annotations

import asyncio
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from providers.protocol import NotSentError, UnclearError
from tests.http import (
    ConnectError,
    ConnectTimeout,
    InvalidURL,
    PoolTimeout,
    ReadTimeout,
    RemoteProtocolError,
    Request,
    Response,
    UnsupportedProtocol,
    WriteError,
    mock_client,
)
from tests.words import names
from workers.http import client as http_client
from workers.http import exchange, transport
from workers.http.client import HttpClient, TooLargeError, build_client, read_body
from workers.http.exchange import clock
from workers.http.ssrf import ForbiddenAddressError, Guard

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 10.0  # seconds; far beyond what any of these tests takes


class Peer:
    """A server on loopback: `serve` is called for each request that was read completely."""

    def __init__(self, serve: Callable[[Peer, bytes, asyncio.StreamWriter], Awaitable[None]]) -> None:
        self.serve = serve
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []
        self.asked = asyncio.Event()
        #: How each connection ended: "closed", "reset", or the exception's name.
        self.endings: asyncio.Queue[str] = asyncio.Queue()

    def url(self, path: str = "/", scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}{path}"

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        ending = "closed"
        try:
            while request := await self.read(reader):
                self.requests.append(request)
                self.asked.set()
                await self.serve(self, request, writer)
                await writer.drain()
        except ConnectionResetError:
            ending = "reset"
        except asyncio.IncompleteReadError as error:
            ending = f"cut off after {len(error.partial)} bytes"
        finally:
            writer.transport.abort()
            await self.endings.put(ending)

    async def read(self, reader: asyncio.StreamReader) -> bytes:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return b""
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")), 0)
        return head + await reader.readexactly(length)


async def answer(_peer: Peer, _request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.write(OK)


async def hang_up(_peer: Peer, _request: bytes, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def stay_silent(_peer: Peer, _request: bytes, _writer: asyncio.StreamWriter) -> None:
    return


@asynccontextmanager
async def peer(
    serve: Callable[[Peer, bytes, asyncio.StreamWriter], Awaitable[None]] = answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Peer]:
    made = Peer(serve)
    server = await asyncio.start_server(made.handle, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    async with server:
        yield made


def client(*allow: str, max_connections: int = 8) -> HttpClient:
    return build_client(Guard(allow or ["127.0.0.1"]), max_connections=max_connections)


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE):
            await story()

    asyncio.run(bounded())


def resolve_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def getaddrinfo(_host: Any, port: Any, *_: Any, **__: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port))) for address in addresses]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


# --- What goes over the wire ---------------------------------------------------------------------------------------


def test_a_request_goes_out_exactly_as_it_was_built() -> None:
    async def story() -> None:
        async with peer() as server, client() as sender:
            path = "/a%2Fb%7Ec/d,e?sig=A%2fb%3D%3d&x=%20&y=~*&z=a|b"
            reply = await sender.send(
                Request("POST", server.url(path), content=b"{}", headers={"Authorization": "Bearer t"}),
                timeout=5,
                write_before=clock() + 5,
            )
            assert (reply.status, dict(reply.headers), reply.body) == (200, {"content-length": "2"}, b"ok")
            head, _, body = server.requests[0].partition(b"\r\n\r\n")
            lines = head.split(b"\r\n")
            assert lines[0] == f"POST {path} HTTP/1.1".encode()
            assert body == b"{}"
            assert b"Authorization: Bearer t" in lines or b"authorization: Bearer t" in lines
            assert b"Accept-Encoding: identity" in lines

    run(story)


def test_a_multipart_upload_arrives_whole() -> None:
    async def story() -> None:
        async with peer() as server, client() as sender:
            picture = bytes(range(256)) * 2000
            request = Request("POST", server.url(), files={"file": ("a.jpg", picture, "image/jpeg")})
            assert (await sender.send(request, timeout=5)).status == 200
            assert picture in server.requests[0]

    run(story)


def test_connections_are_reused_and_cookies_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1")  # a cookie jar takes cookies of names only

    async def set_cookie(_: Peer, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: session=1; Path=/\r\n\r\n"))

    async def story() -> None:
        async with peer(set_cookie) as server, client("api.internal") as sender:
            for _ in range(3):
                await sender.send(Request("GET", f"http://api.internal:{server.port}/"), timeout=5)
            assert server.connections == 1
            assert not any(b"cookie:" in request.lower() for request in server.requests)

    run(story)


def test_redirects_are_answers() -> None:
    async def redirect(_: Peer, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n")

    async def story() -> None:
        async with peer(redirect) as server, client() as sender:
            reply = await sender.send(Request("POST", server.url(), content=b"x"), timeout=5)
            assert (reply.status, reply.headers["location"], len(server.requests)) == (302, "/elsewhere", 1)

    run(story)


def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story() -> None:
        async with peer() as proxy, peer() as server, client() as sender:
            for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
                monkeypatch.setenv(name, proxy.url())
            await sender.send(Request("GET", server.url()), timeout=5)
            assert (proxy.connections, server.connections) == (0, 1)

    run(story)


# --- Provably not sent -----------------------------------------------------------------------------------------------


def test_a_refused_connection_is_not_sent_and_the_message_keeps_the_query_secret() -> None:
    async def story() -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with client() as sender:
            with pytest.raises(NotSentError) as caught:
                await sender.send(Request("POST", f"http://127.0.0.1:{port}/swap?sig=secret"), timeout=5)
        assert f"POST http://127.0.0.1:{port}/swap" in str(caught.value)
        assert "refused" in str(caught.value).lower()
        assert "secret" not in str(caught.value)
        assert caught.value.__suppress_context__

    run(story)


def test_a_name_that_does_not_resolve_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    async def story() -> None:
        async with client() as sender:
            with pytest.raises(NotSentError, match="Name or service not known"):
                await sender.send(Request("POST", "http://nowhere.invalid/"), timeout=5)

    run(story)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_name_that_resolves_to_loopback_is_never_connected_to(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    resolve_to(monkeypatch, "127.0.0.1")

    async def story() -> None:
        async with peer() as server, client("127.0.0.1") as sender:
            with pytest.raises(ForbiddenAddressError, match=names("innocent.example", "127.0.0.1")):
                await sender.send(Request("GET", f"{scheme}://innocent.example:{server.port}/"), timeout=5)
            assert server.connections == 0

    run(story)


def test_all_addresses_of_a_name_are_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "169.254.169.254", "127.0.0.1", "10.0.0.1")

    async def story() -> None:
        async with peer() as server, client("unrelated.example") as sender:
            with pytest.raises(ForbiddenAddressError):
                await sender.send(Request("GET", f"http://innocent.example:{server.port}/"), timeout=5)
            assert server.connections == 0

    run(story)


def test_an_allowed_name_may_resolve_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    resolve_to(monkeypatch, "127.0.0.1")

    async def story() -> None:
        async with peer() as server, client("media.internal") as sender:
            url = f"http://media.internal:{server.port}/"
            assert (await sender.send(Request("GET", url), timeout=5)).status == 200

    run(story)


def test_a_request_whose_time_has_passed_opens_no_connection() -> None:
    async def story() -> None:
        async with peer() as server, client() as sender:
            with pytest.raises(NotSentError, match=names("deadline", "not sent")):
                await sender.send(Request("POST", server.url()), timeout=5, write_before=clock() - 0.001)
            assert server.connections == 0

    run(story)


@pytest.mark.parametrize("reading", [2, 3, 4])
def test_a_process_that_was_frozen_before_the_write_sends_nothing(
    monkeypatch: pytest.MonkeyPatch, reading: int
) -> None:
    """The clock is read first, and once for all after the send began; whenever it jumps, nothing may be written."""
    start, readings = clock(), iter(range(1, 100))
    for module in (http_client, exchange):
        monkeypatch.setattr(module, "clock", lambda: start + (60 if next(readings) >= reading else 0))

    async def story() -> None:
        async with peer() as server, client() as sender:
            with pytest.raises(NotSentError, match=names("deadline", "not sent")):
                await sender.send(Request("POST", server.url(), content=b"paid"), timeout=5, write_before=start + 5)
            assert await server.endings.get() in ("closed", "reset")
            assert server.requests == []

    run(story)


BAD_HEADERS = {"line end": "Bearer tok\n", "carriage return": "tok\r", "NUL": "to\0k", "injected": "t\r\nX-Evil: 1"}


@pytest.mark.parametrize("value", BAD_HEADERS.values(), ids=BAD_HEADERS)
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("size", [2, 2 * exchange.PIECE_BYTES])
def test_a_head_that_cannot_be_written_is_not_sent(method: str, value: str, size: int) -> None:
    async def story() -> None:
        async with peer() as server, client() as sender:
            body = b"" if method == "GET" else b"x" * size
            request = Request(method, server.url("/paid"), content=body, headers={"Authorization": value})
            with pytest.raises(NotSentError, match=names("not sent", "/paid")) as caught:
                await sender.send(request, timeout=5, write_before=clock() + 5)
            assert "tok" not in str(caught.value)
            assert (await sender.send(Request("GET", server.url()), timeout=5)).status == 200
            assert len(server.requests) == 1, "of the other one not a byte arrived"

    run(story)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "x..example", "bad host", "ex\tample"])
def test_a_host_that_no_resolver_can_be_asked_for_is_not_sent(host: str) -> None:
    async def story() -> None:
        async with client() as sender:
            with pytest.raises(NotSentError):
                await sender.send(Request("POST", Request("GET", f"http://{host}/").url), timeout=5)

    try:
        Request("GET", f"http://{host}/")
    except InvalidURL:
        return  # refused before there is a request, see the tests of provider calls
    run(story)


def test_waiting_for_a_connection_ends_at_the_instant_to_write() -> None:
    async def story() -> None:
        async with peer(stay_silent) as server, client(max_connections=1) as sender:
            first = asyncio.create_task(sender.send(Request("GET", server.url()), timeout=60))
            await server.asked.wait()  # the only connection is taken
            with pytest.raises(NotSentError, match=names("connection")):
                await sender.send(Request("POST", server.url()), timeout=60, write_before=clock() + 0.05)
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            assert len(server.requests) == 1

    run(story)


def test_an_untrusted_certificate_means_not_sent(tmp_path: Path) -> None:
    tls = server_tls(tmp_path)

    async def story() -> None:
        async with peer(tls=tls) as server, client() as sender:
            with pytest.raises(NotSentError, match="certificate"):
                await sender.send(Request("POST", server.url(scheme="https"), content=b"paid"), timeout=5)
            assert server.requests == []

    run(story)


# --- Unclear -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["POST", "PUT", "GET", "DELETE"])
@pytest.mark.parametrize("reused", [False, True], ids=["fresh connection", "reused connection"])
def test_a_connection_lost_after_the_request_is_unclear_and_never_repeated(method: str, reused: bool) -> None:
    async def lose_the_last(server: Peer, request: bytes, writer: asyncio.StreamWriter) -> None:
        await (hang_up if request.startswith(method.encode() + b" /lost") else answer)(server, request, writer)

    async def story() -> None:
        async with peer(lose_the_last) as server, client() as sender:
            if reused:
                await sender.send(Request("GET", server.url("/first")), timeout=5)
            with pytest.raises(UnclearError):
                await sender.send(Request(method, server.url("/lost")), timeout=5)
            assert server.connections == 1
            assert [b"/lost" in request for request in server.requests].count(True) == 1

    run(story)


def test_silence_is_unclear_and_the_connection_is_aborted() -> None:
    async def story() -> None:
        async with peer(stay_silent) as server, client() as sender:
            with pytest.raises(UnclearError, match=names("0.05 s")):
                await sender.send(Request("POST", server.url(), content=b"paid"), timeout=0.05)
            assert await server.endings.get() == "reset"

    run(story)


def test_a_body_the_server_does_not_take_is_not_delivered_after_the_time_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given small socket buffers, so that most of a body waits in the process, then the time-out throws it away."""
    small = (socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    monkeypatch.setattr(transport, "_SOCKET_OPTIONS", (*transport._SOCKET_OPTIONS, small))
    size, received = exchange.PIECE_BYTES, 0
    given_up, ended = asyncio.Event(), asyncio.Event()

    async def read_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal received
        await given_up.wait()
        try:
            while chunk := await reader.read(1 << 20):
                received += len(chunk)
        except ConnectionResetError:
            pass
        writer.transport.abort()
        ended.set()

    async def story() -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with await asyncio.start_server(read_late, sock=listener, limit=1024), client() as sender:
            request = Request("POST", f"http://127.0.0.1:{listener.getsockname()[1]}/", content=bytes(size))
            with pytest.raises(UnclearError):
                await sender.send(request, timeout=0.1, write_before=clock() + 5)
            given_up.set()
            await ended.wait()
        assert received < size / 2

    run(story)


def test_a_process_frozen_while_it_writes_a_long_body_does_not_complete_it(monkeypatch: pytest.MonkeyPatch) -> None:
    size = 32 * 1024 * 1024
    frozen, received, ended = 0.0, 0, asyncio.Event()
    monkeypatch.setattr(exchange, "clock", lambda: clock() + frozen)

    async def freeze_then_read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal frozen, received
        try:
            while chunk := await reader.read(1 << 20):
                received += len(chunk)
                frozen = 60.0
        except ConnectionResetError:
            pass
        writer.transport.abort()
        ended.set()

    async def story() -> None:
        server = await asyncio.start_server(freeze_then_read, "127.0.0.1", 0, limit=1024)
        async with server, client() as sender:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            with pytest.raises(UnclearError, match=names("written")):
                await sender.send(Request("POST", url, content=bytes(size)), timeout=5, write_before=clock() + 5)
            await ended.wait()
        assert 0 < received < size

    run(story)


def test_the_time_out_runs_from_the_write_and_not_from_the_instant_to_write() -> None:
    async def story() -> None:
        write_before = clock() + 0.1

        async def answer_later(_: Peer, __: bytes, writer: asyncio.StreamWriter) -> None:
            asyncio.get_running_loop().call_later(write_before + 0.05 - clock(), writer.write, OK)

        async with peer(answer_later) as server, client() as sender:
            reply = await sender.send(Request("POST", server.url()), timeout=5, write_before=write_before)
            assert reply.body == b"ok"

    run(story)


def test_half_an_answer_is_unclear() -> None:
    async def half(_: Peer, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{")
        await writer.drain()
        writer.close()

    async def story() -> None:
        async with peer(half) as server, client() as sender:
            with pytest.raises(UnclearError):
                await sender.send(Request("POST", server.url()), timeout=5)

    run(story)


@pytest.mark.parametrize("raw", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot gzip"])
def test_a_malformed_answer_is_unclear(raw: bytes) -> None:
    async def malformed(_: Peer, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()
        writer.close()

    async def story() -> None:
        async with peer(malformed) as server, client() as sender:
            with pytest.raises(UnclearError):
                await sender.send(Request("POST", server.url()), timeout=5)

    run(story)


def test_a_cancelled_request_aborts_its_connection_and_leaves_the_client_usable() -> None:
    async def story() -> None:
        async def silent_once(server: Peer, request: bytes, writer: asyncio.StreamWriter) -> None:
            await (stay_silent if len(server.requests) == 1 else answer)(server, request, writer)

        async with peer(silent_once) as server, client(max_connections=1) as sender:
            task = asyncio.create_task(sender.send(Request("POST", server.url()), timeout=60))
            await server.asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await server.endings.get() == "reset"
            assert (await sender.send(Request("POST", server.url()), timeout=5)).body == b"ok"

    run(story)


# --- Answers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "gzip"])
def test_the_size_cap_is_on_decoded_bytes(compressed: bool) -> None:
    body = b'{"list":"' + b"0" * 400_000 + b'"}'
    sent = gzip.compress(body) if compressed else body
    encoding = b"Content-Encoding: gzip\r\n" if compressed else b""

    async def long_answer(_: Peer, __: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (encoding, len(sent)) + sent)

    async def story() -> None:
        async with peer(long_answer) as server, client() as sender:
            request = Request("GET", server.url())
            assert (await sender.send(request, timeout=5, max_bytes=len(body))).body == body
            with pytest.raises(TooLargeError, match="longer than") as caught:
                await sender.send(request, timeout=5, max_bytes=len(body) - 1)
            assert isinstance(caught.value, UnclearError)

    run(story)


def test_an_answer_that_comes_before_the_body_was_taken_is_an_answer() -> None:
    async def refuse_early(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\n\r\nbig")
        await done.wait()
        writer.transport.abort()

    done = asyncio.Event()

    async def story() -> None:
        server = await asyncio.start_server(refuse_early, "127.0.0.1", 0, limit=1024)
        async with server, client() as sender:
            url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            reply = await sender.send(Request("POST", url, content=bytes(32 * 1024 * 1024)), timeout=5)
            done.set()
            assert (reply.status, reply.body) == (413, b"big")

    run(story)


def test_a_caller_that_fails_after_the_answer_does_not_harm_the_pooled_connection() -> None:
    async def story() -> None:
        async with peer() as server, client() as sender:

            async def read_and_fail() -> None:
                async with sender.stream(Request("GET", server.url()), timeout=5) as response:
                    assert await read_body(response, 10) == b"ok"
                    raise ZeroDivisionError

            with pytest.raises(ZeroDivisionError):
                await read_and_fail()
            await sender.send(Request("GET", server.url()), timeout=5)
            assert server.connections == 1

    run(story)


def test_certificate_authorities_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tls = server_tls(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))

    async def story() -> None:
        async with peer(tls=tls) as server, client() as sender:
            request = Request("POST", server.url(scheme="https"), content=b"paid")
            assert (await sender.send(request, timeout=5, write_before=clock() + 5)).body == b"ok"
            assert server.requests[0].endswith(b"paid")

    transport._ssl_context.cache_clear()
    try:
        run(story)
    finally:
        transport._ssl_context.cache_clear()


# --- Injected transports -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (ConnectError("x"), NotSentError),
        (ConnectTimeout("x"), NotSentError),
        (PoolTimeout("x"), NotSentError),
        (UnsupportedProtocol("x"), NotSentError),
        (InvalidURL("x"), NotSentError),
        (UnicodeEncodeError("ascii", "\u201d", 0, 1, "x"), NotSentError),
        (ReadTimeout("x"), UnclearError),
        (WriteError("x"), UnclearError),
        (RemoteProtocolError("x"), UnclearError),
        (TimeoutError(), UnclearError),
        (ConnectionResetError(104, "reset"), UnclearError),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_what_an_injected_transport_raises_is_sorted(raised: Exception, expected: type[Exception]) -> None:
    def handler(_: Request) -> Response:
        raise raised

    async def story() -> None:
        async with mock_client(handler) as sender:
            with pytest.raises(expected):
                await sender.send(Request("POST", "https://api.example/"), timeout=5)

    run(story)


def test_an_injected_transport_answers() -> None:
    def handler(request: Request) -> Response:
        return Response(201, headers={"X-Echo": request.headers["X-Ask"]}, json={"got": request.content.decode()})

    async def story() -> None:
        async with mock_client(handler) as sender:
            request = Request("POST", "https://api.example/", content=b"hi", headers={"X-Ask": "1"})
            reply = await sender.send(request, timeout=5)
            assert (reply.status, reply.headers["x-echo"], reply.body) == (201, "1", b'{"got":"hi"}')

    run(story)


def test_the_guard_comes_before_the_transport() -> None:
    def handler(_: Request) -> Response:
        raise AssertionError("the transport was reached")

    async def story() -> None:
        async with mock_client(handler) as sender:
            with pytest.raises(ForbiddenAddressError):
                await sender.send(Request("GET", "http://169.254.169.254/latest/meta-data"), timeout=5)

    run(story)


def server_tls(folder: Path) -> ssl.SSLContext:
    """A server's TLS context with a certificate for 127.0.0.1 that only its own file vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context
