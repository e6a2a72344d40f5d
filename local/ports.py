"""TCP ports for the embedded servers. Unix sockets would do without, but their paths may have 107 bytes only."""

from __future__ import annotations

import socket
from random import SystemRandom

from local.errors import ServerError

LOOPBACK = "127.0.0.1"

# Below every usual ephemeral range (Linux 32768, macOS 49152), so that no outgoing connection takes a server's port
# between two starts of it.
PORTS = range(15_000, 32_000)

ATTEMPTS = 100  # of 17,000 ports a few are taken: the second guess is already unlikely


def pick_port(preferred: int | None) -> int:
    """The preferred TCP port if it is free on 127.0.0.1, else any free one of `PORTS`.

    Raises:
        ServerError: no free port was found.
    """
    if preferred is not None and port_is_free(preferred):
        return preferred
    random = SystemRandom()
    for _ in range(ATTEMPTS):
        if port_is_free(port := random.choice(PORTS)):
            return port
    raise ServerError(f"No free TCP port was found on {LOOPBACK} between {PORTS.start} and {PORTS.stop - 1}.")


def port_is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket() as probe:
        # Servers set this too; without it, connections of an earlier run that linger in TIME_WAIT would count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
    return True
