"""The ports of the embedded servers."""

from __future__ import annotations

import socket

import pytest

from local import ports
from local.errors import ServerError


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
        assert not ports.port_is_free(port)
    assert ports.port_is_free(port)


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
        with pytest.raises(ServerError, match="No free TCP port"):
            ports.pick_port(None)
