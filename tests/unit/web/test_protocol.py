"""A real server with an application that says only how much of a request it has read."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from tests.stack import wait_for
from web import connections, guesses, listener, protocol
from web.connections import Connection, Connections, Phase
from web.front import MAX_HEADERS, MAX_TARGET, Front
from web.guesses import GuessLimiter
from web.listener import Listener, listening
from web.protocol import LINGER_BYTES, LimitedProtocol
from web.streams import EventStream

HELD, GO_ON, ENDED = threading.Event(), threading.Event(), threading.Event()
GUESSES = GuessLimiter()


async def answering(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer at once, without the body; `/read` reads it first, `/much` answers at length.

    `/hold` lets nothing else happen meanwhile, `/guess` waits for its turn, and `/stream` tells without end.
    """
    assert scope["type"] == "http"
    if scope["path"] == "/hold":
        HELD.set()
        GO_ON.wait(60)
    if scope["path"] == "/stream":
        await EventStream(telling(), ENDED.set)(scope, receive, send)
        return
    if scope["path"] == "/guess":
        await GUESSES.find(Request(scope, receive), f"a guess from {scope['client']}", nothing)
    if scope["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    body = bytes(50_000_000) if scope["path"] == "/much" else b"said"
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def nothing() -> None:
    return None


async def telling() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"event: alive\n\n"
        await asyncio.sleep(0.02)


class Counting(Connections):
    """Connections that count those that were let in."""

    admitted = 0

    def admit(self, connection: Connection, now: float) -> bool:
        admitted = super().admit(connection, now)
        self.admitted += admitted
        return admitted


@contextmanager
def served(**limits: int) -> Iterator[tuple[int, Counting]]:
    """The port of a server, and its connections."""
    (door,) = listening("127.0.0.1", 0)
    door.listen()
    made = Counting((), **limits)
    http = partial(LimitedProtocol, made)
    config = uvicorn.Config(Front(answering), http=http, lifespan="off", log_config=None, ws="none")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([door])))
    thread.start()
    try:
        yield door.getsockname()[1], made
    finally:
        server.should_exit = True
        thread.join()
        door.close()


@pytest.fixture(autouse=True)
def told_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MISTAKE_SECONDS", 0.02)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every wait is short."""
    monkeypatch.setattr(connections, "LONGEST", dict.fromkeys(Phase, 0.2) | {Phase.BUSY: 60.0})
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.05)


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


@contextmanager
def held(port: int) -> Iterator[None]:
    """The server does nothing, as on a machine that has much else to do."""
    HELD.clear()
    GO_ON.clear()
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.sendall(HEAD.replace(b"/ ", b"/hold ") + b"\r\n")
        HELD.wait(60)
        try:
            yield
        finally:
            GO_ON.set()


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


class _Slow(asyncio.Transport):
    """A connection whose other side has so much left to read."""

    left = 0

    def get_write_buffer_size(self) -> int:
        return self.left

    def is_closing(self) -> bool:
        return False


class _Clock(asyncio.SelectorEventLoop):
    """A loop whose time is told."""

    now = 0.0

    def time(self) -> float:
        return self.now


def test_the_end_of_an_answer_has_time_of_its_own_after_the_rest_was_read_slowly() -> None:
    here, there = socket.socketpair()
    with here, there, closing(_Clock()) as loop:
        transport = _Slow({"socket": here})
        config = uvicorn.Config(Front(answering), log_config=None, ws="none")
        made = LimitedProtocol(Connections(), config=config, server_state=ServerState(), app_state={}, _loop=loop)
        made.connection_made(transport)
        transport.left = 5_000_000
        made.pause_writing()
        for loop.now in range(0, 100, 10):
            transport.left -= 500_000
            assert made.waiting(loop.now)[1] <= 10, "it reads"
        transport.left = 10_000
        made.resume_writing()
        assert made.waiting(loop.now + 1) == (Phase.SILENT, 1)


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


@pytest.mark.parametrize("start", [b"nonsense\r\n\r\n", HEAD.replace(b"/ ", b"/read ") + b"%s\r\n\r\nnonsense\r\n"])
def test_who_makes_mistakes_waits_and_makes_room(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MISTAKE_SECONDS", 60.0)
    with served(most=4, per_place=4) as (port, made):
        lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        for line in lines:
            line.sendall(start.replace(b"%s", b"Transfer-Encoding: chunked"))
        wait_for(lambda: [each.waiting(0)[0] for each in made._open] == [Phase.TURN] * 3, message="they wait")
        lines[0].sendall(b"more of it")
        assert made.is_crowded("127.0.0.1", 0.0)
        assert b"200" in ask(port, HEAD + b"Connection: close\r\n\r\n")
        for line in lines:
            line.close()


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


@pytest.mark.parametrize("hung_up", [True, False], ids=["who hang up", "who say nothing"])
def test_what_was_asked_is_answered_however_many_connected_since(hung_up: bool) -> None:
    with served(most=8, per_place=8) as (port, _):
        lines: list[socket.socket] = []
        with held(port):
            honest = socket.create_connection(("127.0.0.1", port))
            honest.sendall(HEAD + b"Connection: close\r\n\r\n")
            for _ in range(100):
                lines.append(socket.create_connection(("127.0.0.1", port)))
                if hung_up:
                    lines.pop().close()
        with honest:
            assert b"200" in said(honest)
        for line in lines:
            line.close()


def test_connections_that_are_over_are_never_taken_in() -> None:
    with served() as (port, made):
        with held(port):
            before = made.admitted
            for _ in range(listener.OVER_AT_ONCE + 20):
                socket.create_connection(("127.0.0.1", port)).close()
            silent = socket.create_connection(("127.0.0.1", port))
        with silent:
            wait_for(lambda: made.admitted > before, message="the silent one is there")
            assert made.admitted == before + 1


def test_few_connections_come_in_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "AT_ONCE", 3)
    (door,) = listening("127.0.0.1", 0)
    door.listen(50)
    door.setblocking(False)
    lines = [socket.create_connection(door.getsockname()) for _ in range(7)]
    for line in lines:
        line.sendall(b"x")
    taken = []
    for _ in range(4):
        batch = 0
        with suppress(BlockingIOError):
            while True:
                taken.append(door.accept()[0])
                batch += 1
        assert batch <= 3
    assert len(taken) == 7
    for each in (*lines, *taken, door):
        each.close()


def test_a_socket_that_was_handed_over_is_one_too() -> None:
    bound = socket.create_server(("127.0.0.1", 0))
    with Listener(fileno=bound.detach()) as door, socket.create_connection(door.getsockname()) as line:
        line.sendall(b"x")
        accepted, _ = door.accept()
        with accepted:
            assert accepted.recv(1) == b"x"


def test_a_name_with_several_addresses_is_served_on_all_of_them() -> None:
    made = listening("localhost", 0)
    assert {each.getsockname()[0] for each in made} <= {"127.0.0.1", "::1"}
    taken = made[0].getsockname()[1]
    made[0].listen()
    with pytest.raises(OSError, match="in use"):
        listening("127.0.0.1", taken)
    for each in made:
        each.close()


def test_who_waits_for_a_turn_makes_room_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "TURN_SECONDS", 60.0)
    monkeypatch.setattr(guesses, "FREE", 0)
    guess = HEAD.replace(b"/ ", b"/guess ") + b"\r\n"
    with served(most=20, per_place=20) as (port, made):
        assert b"200" in ask(port, guess.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        wait_for(lambda: len(made) == 0, message="the first guess had its turn")
        lines = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        for line in lines:
            line.sendall(guess)
        wait_for(lambda: sum(map(len, GUESSES._turns._waiting.values())) == 20, message="all others wait")
        assert b"200" in ask(port, HEAD + b"Connection: close\r\n\r\n")
        wait_for(lambda: len(made) == 19, message="one of them is gone")
        for line in lines:
            line.close()


def test_connections_are_looked_after_once_a_second_however_many_came(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[float] = []
    monkeypatch.setattr(protocol, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(Connections, "end_overdue", lambda _, now: looks.append(now))
    with served() as (port, made):
        for _ in range(50):
            assert b"200" in ask(port, HEAD + b"Connection: close\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)):
            wait_for(lambda: len(made) == 1, message="the connection is there")
            began, before = time.monotonic(), len(looks)
            wait_for(lambda: len(looks) - before >= 3, message="three looks")
            assert time.monotonic() - began > 2 * 0.2


@pytest.mark.usefixtures("quick")
def test_streams_outlast_a_crowd_of_connections_and_leave_room_for_others() -> None:
    with served(most=20, per_place=20) as (port, made), ExitStack() as stack:
        streams = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(10)]
        for stream in streams:
            stream.settimeout(20)
            stream.sendall(HEAD.replace(b"/ ", b"/stream ") + b"\r\n")
            assert stream.recv(1 << 16).startswith(b"HTTP/1.1 200")
        for _ in range(100):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            with suppress(OSError):
                silent.sendall(b"GET / HT")
        # One whose first bytes were not read yet is not taken for silent, so a client may have to ask again.
        wait_for(lambda: b"said" in ask(port, HEAD + b"Connection: close\r\n\r\n"), message="an answer")
        time.sleep(0.5)  # longer than anything else may wait
        for stream in streams:
            assert b"event: alive" in stream.recv(1 << 16)
        ENDED.clear()
        streams[0].close()
        assert ENDED.wait(20), "who leaves gives the place back"
        assert len(made) <= 20
    wait_for(lambda: not made, message="no connection is left")
