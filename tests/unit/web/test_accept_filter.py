"""Which connections are turned away before anything is made for them."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from web import connections
from web.accept_filter import AcceptFilter
from web.connections import Connections, Phase

WAITING = 12  # of the 16 connections that an address may have here
HERE, OTHER = ("192.0.2.1", 1), ("192.0.2.2", 1)


class Waiter:
    place = HERE[0]

    def __init__(self, phase: Phase) -> None:
        self.phase = phase

    def waiting(self, _: float) -> tuple[Phase, float]:
        return self.phase, 0.0

    def drop(self) -> None:
        raise AssertionError("no connection is dropped for one that is turned away")


@pytest.fixture
def made() -> Connections:
    return Connections(per_place=16)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    theirs.settimeout(5)
    with ours, theirs:
        yield ours, theirs


def crowd(made: Connections, phase: Phase, size: int = WAITING) -> list[Waiter]:
    waiters = [Waiter(phase) for _ in range(size)]
    assert all(made.admit(each, 0.0) for each in waiters)
    return waiters


def is_signed(path: str) -> bool:
    return path == "/signed"


def test_a_crowded_address_gets_in_what_is_signed_or_says_nothing_yet(
    made: Connections, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, theirs = pair
    crowd(made, Phase.TURN)
    takes = AcceptFilter(made, is_signed)
    assert takes(ours, HERE)
    theirs.sendall(b"GET /signed?x=1 HTTP/1.1\r\nHost: x\r\n\r\n")
    assert takes(ours, HERE)
    assert ours.recv(100).startswith(b"GET /signed")


@pytest.mark.parametrize("said", [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"POST /signe", b"\x16\x03\x01", b"\r\n"])
def test_a_crowded_address_is_told_to_come_back_later(
    made: Connections, pair: tuple[socket.socket, socket.socket], said: bytes
) -> None:
    ours, theirs = pair
    crowd(made, Phase.TURN)
    theirs.sendall(said)
    takes = AcceptFilter(made, is_signed)
    assert not takes(ours, HERE)
    ours.close()
    answer = theirs.recv(1000)
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 1\r\n" in answer
    assert theirs.recv(1000) == b""


def test_who_is_not_crowded_is_asked_nothing(made: Connections, pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    takes = AcceptFilter(made, is_signed)
    crowd(made, Phase.TURN, WAITING - 1)
    crowd(made, Phase.SILENT, 3)
    assert takes(ours, HERE)
    assert takes(ours, OTHER)


def test_a_crowd_that_has_gone_is_forgotten(
    made: Connections, pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = pair
    theirs.sendall(b"GET / HTTP/1.1\r\n\r\n")
    takes = AcceptFilter(made, is_signed)
    waiters = crowd(made, Phase.TURN)
    assert made.is_crowded(HERE[0], 1.0)
    assert made.is_crowded(HERE[0], 1.0 + connections.CROWDED_SECONDS / 2)
    for each in waiters:
        each.phase = Phase.BUSY
    assert not made.is_crowded(HERE[0], 1.0 + connections.CROWDED_SECONDS)
    assert takes(ours, HERE)
