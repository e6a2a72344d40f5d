"""The ports of the embedded servers."""

from __future__ import annotations

import socket

import pytest

from devstack import ports
from devstack.errors import ServerError
from tests.words import names


def listener() -> socket.socket:
    server = socket.socket()
    server.bind((ports.LOOPBACK, 0))
    server.listen()
    return server


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def test_a_port_with_a_listener_is_not_free_until_it_closes() -> None:
    with listener() as server:
        port = port_of(server)
        assert ports.try_bind(ports.LOOPBACK, port, reuse=True) is None
    with ports.bind(port) as ours:
        assert port_of(ours) == port


def test_a_port_that_somebody_has_bound_is_not_guessed(monkeypatch: pytest.MonkeyPatch) -> None:
    with ports.bind(None) as theirs:
        monkeypatch.setattr(ports, "PORTS", range(port_of(theirs), port_of(theirs) + 1))
        with pytest.raises(ServerError, match=names("TCP port")):
            ports.bind(None)


def test_the_preferred_port_is_kept_while_it_is_free() -> None:
    preferred = ports.pick_port(None)
    assert preferred in ports.PORTS
    assert ports.pick_port(preferred) == preferred


def test_a_taken_port_is_replaced_by_another() -> None:
    with listener() as server:
        taken = port_of(server)
        assert ports.pick_port(taken) != taken


def test_no_free_port_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with listener() as server:
        monkeypatch.setattr(ports, "PORTS", range(port_of(server), port_of(server) + 1))
        with pytest.raises(ServerError, match=names("TCP port")):
            ports.pick_port(None)
