"""A real server with an application that says only how much of a request it has read."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from tests.stack import wait_for
from web import connections, wire
from web.connections import Connections, Phase
from web.front import MAX_HEADERS, MAX_TARGET, Front
from web.wire import LINGER_BYTES, Wire


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, without the body; `/read` reads it first, `/much` answers at length."""
    assert scope["type"] == "http"
    if scope["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    body = bytes(50_000_000) if scope["path"] == "/much" else b"said"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@contextmanager
def served(**limits: int) -> Iterator[tuple[int, Connections]]:
    """The port of a server, and its connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    made = Connections((), **limits)
    server = uvicorn.Server(
        uvicorn.Config(Front(answering), http=partial(Wire, made), lifespan="off", log_config=None, ws="none")  # type: ignore[arg-type]
    )
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield listener.getsockname()[1], made
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait is short."""
    monkeypatch.setattr(connections, "LONGEST", dict.fromkeys(Phase, 0.2) | {Phase.BUSY: 60.0})
    monkeypatch.setattr(wire, "LOOK_SECONDS", 0.05)


def said(line: socket.socket) -> bytes:
    """Everything that comes until the end."""
    line.settimeout(20)
    got = bytearray()
    try:
        while part := line.recv(1 << 16):
            got += part
    except ConnectionError:
        pass
    return bytes(got)


def ask(port: int, data: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(data)
        return said(line)


HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("start", "told"),
    [
        pytest.param(b"", b"", id="silence"),
        pytest.param(HEAD + b"X: ", b"", id="half of the headers"),
        pytest.param(HEAD + b"\r\n", b"200", id="nothing after an answer"),
        pytest.param(HEAD.replace(b"/ ", b"/read ") + b"Content-Length: 9\r\n\r\nx", b"", id="half of a body"),
    ],
)
def test_a_wait_ends_although_a_byte_comes_now_and_then(quick: None, start: bytes, told: bytes) -> None:
    with served() as (port, made), socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(start)
        wait_for(lambda: len(made) == 1, message="the connection is there")

        def ended() -> bool:
            try:
                if start:
                    line.send(b"x" if not told else b"")
            except OSError:
                return True
            return len(made) == 0

        wait_for(ended, message="the connection is ended")
        assert told in said(line)


def test_an_answer_that_nobody_reads_ends(quick: None) -> None:
    with served() as (port, made), socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_for(lambda: len(made) == 1, message="the connection is there")
        wait_for(lambda: len(made) == 0, message="the connection is ended")


def test_an_answer_that_is_read_slowly_but_read_is_whole(quick: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LONGEST", dict.fromkeys(Phase, 2.0))
    with served() as (port, _), socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"GET /much HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        line.settimeout(20)
        began, got = time.monotonic(), 0
        while part := line.recv(1 << 18):
            got += len(part)
            # Longer in all than nothing may be read.
            while time.monotonic() - began < 4.0 * got / 50_000_000:
                time.sleep(0.001)
        assert got > 50_000_000


@pytest.mark.parametrize("close", [b"", b"Connection: close\r\n"])
def test_an_early_answer_arrives_and_the_rest_of_the_request_is_not_read(close: bytes) -> None:
    sent = 0
    with served() as (port, made), socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n" + close + b"\r\n")
        line.settimeout(20)
        assert line.recv(1 << 16).startswith(b"HTTP/1.1 200")
        with suppress(OSError):
            while sent < 100 * LINGER_BYTES:
                sent += line.send(bytes(1 << 16))
        assert sent < 100 * LINGER_BYTES
        wait_for(lambda: len(made) == 0, message="the connection is ended")


def test_silent_connections_keep_nobody_out() -> None:
    with served(most=50) as (port, made):
        silent: list[Any] = [socket.create_connection(("127.0.0.1", port)) for _ in range(60)]
        wait_for(lambda: len(made) >= 40, message="they are there")
        began = time.monotonic()
        assert b"200" in ask(port, HEAD + b"Connection: close\r\n\r\n")
        assert time.monotonic() - began < 10
        assert len(made) <= 50
        for line in silent:
            line.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(
            HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400", id="two lengths"
        ),
        pytest.param(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400", id="lengths that differ"),
        pytest.param(HEAD + b"Content-Length: -3\r\n\r\n", b"400", id="a negative length"),
        pytest.param(HEAD + b"Content-Length: \xd9\xa3\r\n\r\n", b"400", id="a length in Arabic digits"),
        pytest.param(HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n", b"400", id="another coding"),
        pytest.param(HEAD + b"Transfer-Encoding : chunked\r\n\r\n", b"400", id="a blank before the colon"),
        pytest.param(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400", id="chunks in HTTP/1.0"),
        pytest.param(HEAD + b"Host: y\r\n\r\n", b"400", id="two hosts"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", b"400", id="no host"),
        pytest.param(b"GET http://evil.example/ HTTP/1.1\r\nHost: x\r\n\r\n", b"400", id="an address for a path"),
        pytest.param(b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", b"400", id="a star for a path"),
        pytest.param(b"GET /" + b"x" * MAX_TARGET + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414", id="a long path"),
        pytest.param(b"GET /?" + b"x" * MAX_TARGET + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"414", id="a long query"),
        pytest.param(HEAD + b"X: " + b"x" * MAX_HEADERS + b"\r\n\r\n", b"431", id="a long header"),
        pytest.param(HEAD + b"X: y\r\n" * 101 + b"\r\n", b"431", id="many headers"),
        pytest.param(b"\x16\x03\x01\x00\xa5\x01\r\n\r\n", b"400", id="TLS"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"400", id="HTTP/2"),
    ],
)
def test_a_malformed_request_is_told_so_and_ends_its_connection(request_: bytes, status: bytes) -> None:
    with served() as (port, made):
        with socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(request_)
            answer = said(line)
        assert answer.split(b" ")[1] == status
        assert answer.count(b"HTTP/1.1") == 1
        wait_for(lambda: len(made) == 0, message="the connection is ended")


def test_one_address_cannot_have_everything_answered_at_a_time() -> None:
    async def story() -> list[int]:
        statuses: list[int] = []
        free = asyncio.Event()

        async def waiting(scope: Scope, receive: Receive, send: Send) -> None:
            await free.wait()
            await answering(scope, receive, send)

        front = Front(waiting, per_place=2)

        async def one(host: str) -> None:
            async def send(message: Any) -> None:
                if "status" in message:
                    statuses.append(message["status"])
                    free.set()

            scope = {"type": "http", "headers": [], "raw_path": b"/", "path": "/", "query_string": b"",
                     "http_version": "1.1", "client": (host, 1), "method": "GET"}  # fmt: skip
            await front(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]

        await asyncio.gather(*(one(host) for host in ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1"]))
        return statuses

    assert sorted(asyncio.run(story())) == [200, 200, 200, 429]
