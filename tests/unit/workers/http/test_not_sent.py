"""What the HTTP client proves not to have sent: no connection was made or allowed, or the request cannot be written."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from providers.protocol import NotSentError
from tests.http import InvalidURL, Request
from tests.unit.workers.http.peer import client, peer, resolve_to, run, server_tls, stay_silent
from tests.words import names
from workers.http import client as http_client
from workers.http import exchange
from workers.http.exchange import clock
from workers.http.ssrf import ForbiddenAddressError


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
