"""The HTTP client against a server on loopback: what goes over the wire, and what is made of answers."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

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
from tests.unit.workers.http.peer import OK, Peer, client, peer, resolve_to, run, server_tls
from workers.http import transport
from workers.http.client import TooLargeError, read_body
from workers.http.exchange import clock
from workers.http.ssrf import ForbiddenAddressError


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
