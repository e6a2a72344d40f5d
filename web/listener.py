"""The socket that `recast web` listens on: connections that are over already cost nothing, and few come in at once.

A client that connects and hangs up at once is faster than the server. Thousands of its connections would wait to be
accepted, each would be made a transport and a protocol, and honest clients would wait behind all of them.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

AT_ONCE = 32  # connections taken in before others are served: more could not be told apart by what they have said
OVER_AT_ONCE = 500  # connections that are over, thrown away before others are served: some milliseconds

SILENT_SECONDS = 1  # for which a connection that has said nothing waits in the system, and costs us nothing

_HUNG_UP = getattr(select, "POLLRDHUP", 0)  # where a system has no word for it, only resets are seen this early


class Listener(socket.socket):
    """A socket for asyncio, which accepts until nothing is there."""

    #: Whether a connection is taken in, from its address.
    takes: Callable[[socket.socket, Any], bool] = staticmethod(lambda *_: True)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._taken = 0
        if hasattr(socket, "TCP_DEFER_ACCEPT") and self.family in {socket.AF_INET, socket.AF_INET6}:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, SILENT_SECONDS)

    def accept(self) -> tuple[socket.socket, Any]:
        """A connection whose other side is there.

        Raises:
            BlockingIOError: there is none, or others are to be served first.
        """
        try:
            for _ in range(OVER_AT_ONCE if self._taken < AT_ONCE else 0):
                connection, address = super().accept()
                if not is_over(connection) and self.takes(connection, address):
                    self._taken += 1
                    return connection, address
                connection.close()
            raise BlockingIOError
        except OSError:
            self._taken = 0
            raise


def listening(host: str, port: int) -> list[Listener]:
    """Sockets bound to every address of `host`.

    Raises:
        OSError: an address is not ours, or taken.
    """
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    with ExitStack() as stack:
        made: list[Listener] = []
        for family, kind, protocol, _, address in dict.fromkeys(found):
            made.append(stack.enter_context(Listener(family, kind, protocol)))
            made[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                made[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made[-1].bind(address)
        stack.pop_all()
    return made


def is_over(connection: socket.socket) -> bool:
    """Whether the other side has hung up."""
    return bool(arrived(connection) & ~select.POLLIN)


def arrived(connection: Any) -> int:
    """What a socket has to tell, as events of `poll`, without a byte read."""
    look = select.poll()
    look.register(connection.fileno(), select.POLLIN | _HUNG_UP)
    return sum(event for _, event in look.poll(0))
