"""Requests that a server may have received, though no answer says so: each is unclear, and none is repeated."""

from __future__ import annotations

import asyncio
import socket

import pytest

from providers.protocol import UnclearError
from tests.http import Request
from tests.unit.workers.http.peer import OK, Peer, answer, client, hang_up, peer, run, stay_silent
from tests.words import names
from workers.http import exchange, transport
from workers.http.exchange import clock


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
