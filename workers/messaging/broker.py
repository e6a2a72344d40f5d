"""Two additions to kombu's transport for Redis: a repair, and a note of when the broker last answered.

The repair: when Redis goes away under a worker that has unacknowledged messages, Celery 5.7 closes the connection
twice. The first time the channel's pending read raises, so the channel stays open although its transport has let go of
the connection; the second time the channel wants to give its messages back, finds no address to connect to, and raises
an AttributeError, which no caller expects: "Unrecoverable error", and the worker ends. So do acknowledgements of tasks
that outlive the connection. Told by the transport's own kind of error, both are passed over, and the worker connects
again.
"""

from __future__ import annotations

import time
from queue import Empty
from typing import Any

from kombu.transport import redis as transport
from redis.exceptions import ConnectionError as BrokerConnectionError


class Channel(transport.Channel):  # type: ignore[misc]  # kombu ships no types
    """kombu's channel, which raises the transport's own error when its connection was closed."""

    #: When the broker last answered a request for messages, with or without one; on `time.monotonic`.
    answered_at = 0.0

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection.client is None:
            raise BrokerConnectionError("the connection of this channel was closed")
        params: dict[str, Any] = super()._connparams(asynchronous)
        return params

    def _brpop_read(self, **options: Any) -> Any:
        try:
            message = super()._brpop_read(**options)
        except Empty:
            Channel.answered_at = time.monotonic()
            raise
        Channel.answered_at = time.monotonic()
        return message


def repair() -> None:
    """Use our channel for every connection that this process opens from now on."""
    transport.Transport.Channel = Channel
