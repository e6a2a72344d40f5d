"""The accept filter: which new connections are turned away before anything is made for them.

An address whose places are all taken by requests that wait gets no further one in, unless its first line has a path
that we signed. A client that asks again at once, on hundreds of connections, costs a look and an answer each time.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from web.connections import Connections, place_of
from web.protocol import FULL

LINE_BYTES = 1024  # of a first request, that are looked at; a link of ours has about 150
UNREAD_BYTES = 64 * 1024  # of a request, read before its connection is closed: unread ones would reset it


class AcceptFilter:
    """Says which new connections come in.

    Args:
        connections: those that are open.
        is_signed: whether we signed a path.
    """

    def __init__(self, connections: Connections, is_signed: Callable[[str], bool]) -> None:
        self._connections, self._is_signed = connections, is_signed

    def __call__(self, connection: socket.socket, address: Any) -> bool:
        """Whether a new connection may come in; one that may not is told to come back later."""
        if not self._connections.is_crowded(place_of(address[0]), time.monotonic()):
            return True
        with suppress(OSError):
            connection.setblocking(False)
            line = connection.recv(LINE_BYTES, socket.MSG_PEEK).partition(b"\r\n")[0]
            if self._is_signed(_path(line)):
                return True
            connection.recv(UNREAD_BYTES)
            connection.send(FULL)
            return False
        # It has not said anything yet.
        return True


def _path(line: bytes) -> str:
    """The path in a request's first line; empty where there is none."""
    target = line.split(b" ")[1:2]
    return target[0].partition(b"?")[0].decode("ascii", "replace") if target else ""
