"""Channels as workers have them, beside every other connection of this process, and what one does with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from kombu.transport import redis as transport

from tests.stack import wait_for
from workers.messaging.broker import Channel
from workers.messaging.waiting import Poller


class Transport(transport.Transport):  # type: ignore[misc]  # kombu ships no types
    """kombu's transport with our channel and poller."""

    Channel = Channel

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.cycle = Poller()


def publish(channel: Any, *bodies: str, priority: int = 0) -> None:
    """Send these texts to the queue of jobs."""
    for body in bodies:
        message = channel.prepare_message(json.dumps(body), priority=priority, content_type="application/json")
        channel.basic_publish(message, "", "jobs")


def consume(channel: Any, *queues: str) -> list[Any]:
    """What this channel gets from now on, whenever it is asked to look."""
    got: list[Any] = []
    for queue in queues:
        channel.queue_declare(queue)
        channel.basic_consume(queue, no_ack=False, callback=got.append, consumer_tag=queue)
    return got


def look(channel: Any, seconds: float = 0.1) -> None:
    """Have a channel wait for messages, and handle what comes."""
    with suppress(TimeoutError):
        channel.connection.client.drain_events(timeout=seconds)


def look_until(channel: Any, what: Callable[[], object], message: str) -> None:
    """Look again and again until something is true."""

    def is_so() -> object:
        look(channel)
        return what()

    wait_for(is_so, message=message)


def texts(messages: list[Any]) -> list[str]:
    """What these messages say."""
    return [json.loads(message.body) for message in messages]
