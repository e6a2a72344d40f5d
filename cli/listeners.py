"""Sockets of the processes that serve people, bound before the process starts: a port in use is reported at once."""

from __future__ import annotations

import errno
import socket

from devstack.ports import LOOPBACK
from workers.config.settings import SettingsError

#: Every address of the machine, and one of them to reach it at.
_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "::1"}  # noqa: S104 - compared, not bound


def bound(host: str, port: int, *, named_by: tuple[str, str]) -> socket.socket:
    """A socket that is bound to `host` and `port` and does not listen yet.

    Args:
        host: an address or name of this machine.
        port: the port.
        named_by: the settings that say so, for the message.

    Raises:
        SettingsError: the port is in use, or this machine has no such address.
    """
    of_host, of_port = named_by
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        made = socket.socket(family, kind, protocol)
    except OSError as error:
        # The name is not repeated: what is not one may be a secret in the wrong place.
        raise SettingsError(f"{of_host}: {error.strerror or error}; set an address of this machine") from None
    # Connections of an earlier run that linger would count as well.
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(address)
    except OSError as error:
        made.close()
        raise SettingsError(_why(error, host, port, of_host, of_port)) from None
    return made


def _why(error: OSError, host: str, port: int, of_host: str, of_port: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"{of_port}={port}: another program uses this port of {host}; stop it, or set another port"
    if error.errno == errno.EACCES:
        return f"{of_port}={port}: this user may not use the port; set one above 1023"
    return f"{of_host}={host}: {error.strerror}; set an address of this machine, such as {LOOPBACK} or 0.0.0.0 for all"


def place(listener: socket.socket) -> tuple[str, int]:
    """Host and port at which this machine reaches what listens there."""
    host, port = listener.getsockname()[:2]
    return _EVERYWHERE.get(host, host), port


def url(listener: socket.socket) -> str:
    """The address of what listens there."""
    return url_of(*place(listener))


def url_of(host: str, port: int) -> str:
    """The address of a host of this machine and a port."""
    host = _EVERYWHERE.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def listens(at: tuple[str, int]) -> bool:
    """Whether something accepts connections at `at`."""
    with socket.socket(socket.AF_INET6 if ":" in at[0] else socket.AF_INET) as probe:
        return probe.connect_ex(at) == 0
