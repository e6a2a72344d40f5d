"""The embedded Valkey: broker in database 0, task results in database 1."""

from __future__ import annotations

import signal
import socket

from devstack.binaries import valkey_server
from devstack.home import Home
from devstack.ports import LOOPBACK, pick_port
from devstack.process import ServerProcess

READY_SECONDS = 30.0  # a large append-only file is read first, at some 100 MB/s
CONNECT_SECONDS = 2.0  # to a server on this machine

# As in production: one second of work may be lost with the machine, none with the process, and nothing is ever evicted.
SETTINGS = {
    "bind": LOOPBACK,
    "dir": "./",
    "appendonly": "yes",
    "appendfsync": "everysec",
    "save": '""',
    "maxmemory-policy": "noeviction",
    "daemonize": "no",
}
NOT_DURABLE = {"appendonly": "no"}


class Valkey:
    """One Valkey server with its data in a home.

    Args:
        home: the folder with its data.
        password: the clients' password.
        durable: False keeps nothing on disk, for tests.
    """

    def __init__(self, home: Home, password: str, *, durable: bool) -> None:
        self.process = ServerProcess("Valkey", home.log("valkey"), home.valkey_lock, signal.SIGTERM)
        self._home = home
        self._password = password
        self._settings = SETTINGS | ({} if durable else NOT_DURABLE)

    def start(self, preferred_port: int | None) -> int:
        """Start the server and return its port; `wait` waits until it answers.

        Raises:
            ServerError: it is not installed or cannot be started.
        """
        program = valkey_server()
        port = pick_port(preferred_port)
        settings = self._settings | {"port": str(port), "requirepass": self._password}
        config = "".join(f"{name} {value}\n" for name, value in settings.items())
        # From standard input: on the command line every user of the machine could read the password.
        self.process.start([str(program), "-"], folder=self._home.valkey, config=config.encode())
        return port

    def wait(self, port: int) -> None:
        """Wait until the server has read its data and answers.

        Raises:
            ServerError: it ended or took too long.
        """
        self.process.wait_until(lambda: _answers(port, self._password), READY_SECONDS)


def _answers(port: int, password: str) -> bool:
    """Whether the server answers. A client library takes longer to load than the server to start."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=CONNECT_SECONDS) as link:
            link.sendall(f"AUTH {password}\r\nPING\r\nQUIT\r\n".encode())
            # While it reads its data it answers -LOADING.
            return b"+PONG" in link.makefile("rb").read()
    except OSError:
        return False  # not listening yet
