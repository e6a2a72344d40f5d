"""What can go wrong with the embedded servers; each message says what to do."""

from __future__ import annotations


class ServerError(RuntimeError):
    """An embedded server cannot be found, started, joined or stopped; the message says what to do."""


class NotInstalledError(ServerError):
    """A program or module that this machine needs is not installed; nothing was started."""
