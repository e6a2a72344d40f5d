"""TCP ports for the embedded servers. Unix sockets would do without, but their paths may have 107 bytes only.

A port that is merely looked up can be taken before its server listens. So our own servers, which can be handed a
socket, get it bound (`bind`); PostgreSQL and Valkey take a number (`pick_port`) and listen on it milliseconds later.
"""

from __future__ import annotations

import socket
from random import SystemRandom

from devstack.errors import ServerError

LOOPBACK = "127.0.0.1"

# Below every usual ephemeral range (Linux 32768, macOS 49152), so that no outgoing connection takes a server's port
# between two starts of it.
PORTS = range(15_000, 32_000)

ATTEMPTS = 100  # of 17,000 ports a few are taken: the second guess is already unlikely


def bind(preferred: int | None, host: str = LOOPBACK) -> socket.socket:
    """A socket on `host` at the preferred port if that is free, else at any free one of `PORTS`; it does not listen.

    Raises:
        ServerError: no free port was found.
    """
    # Servers allow reuse too; without it, connections of an earlier run that linger in TIME_WAIT would count.
    if preferred is not None and (kept := try_bind(host, preferred, reuse=True)) is not None:
        return kept
    random = SystemRandom()
    for _ in range(ATTEMPTS):
        # A guess may not be a port that another process has bound and does not listen on yet.
        if (guessed := try_bind(host, random.choice(PORTS), reuse=False)) is not None:
            guessed.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            return guessed
    raise ServerError(f"No free TCP port was found on {host} between {PORTS.start} and {PORTS.stop - 1}.")


def try_bind(host: str, port: int, *, reuse: bool) -> socket.socket | None:
    """A socket bound to `port`, or None where another has it."""
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, int(reuse))
    try:
        made.bind((host, port))
    except OSError:
        made.close()
        return None
    return made


def pick_port(preferred: int | None) -> int:
    """The number of a port that was free just now, as `bind` chooses it.

    Raises:
        ServerError: no free port was found.
    """
    with bind(preferred) as free:
        port: int = free.getsockname()[1]
        return port
