"""A repair of kombu's transport for Redis, without which a worker ends when its broker does.

When Redis goes away under a worker that has unacknowledged messages, Celery 5.7 closes the connection twice. The first
time the channel's pending read raises, so the channel stays open although its transport has let go of the connection;
the second time the channel wants to give its messages back, finds no address to connect to, and raises an
AttributeError, which nobody expects: "Unrecoverable error", and the worker ends. So do acknowledgements of tasks that
outlive the connection. Told by the transport's own kind of error, both are passed over, and the worker connects again.
"""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as transport
from redis.exceptions import ConnectionError as BrokerConnectionError


class Channel(transport.Channel):  # type: ignore[misc]  # kombu ships no types
    """kombu's channel, which says in the transport's words that its connection was closed."""

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection.client is None:
            raise BrokerConnectionError("the connection of this channel was closed")
        params: dict[str, Any] = super()._connparams(asynchronous)
        return params


def repair() -> None:
    """Have every channel that this process opens from now on be ours."""
    transport.Transport.Channel = Channel
