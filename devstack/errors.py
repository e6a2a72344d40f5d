"""What can go wrong with the embedded servers: one error, whose message says what to do."""

from __future__ import annotations


class ServerError(RuntimeError):
    """An embedded server cannot be found, started, joined or stopped; the message says what to do."""
