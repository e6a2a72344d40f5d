"""Clients of a broker for kombu's transport: redis-py's, whose refusals are told as what they are."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as transport
from redis import Redis
from redis.client import Pipeline, PubSub

from workers.messaging.messages import is_message
from workers.messaging.permissions import permitted

#: kombu's list lacks what only we use.
PREFIXED_COMMANDS = [*transport.GlobalKeyPrefixMixin.PREFIXED_SIMPLE_COMMANDS, "GET", "LTRIM", "LRANGE"]


class _Pipeline(Pipeline):
    """redis-py's pipeline, whose refusals are told when all of its answers have been read."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with permitted(self):
            answers: list[Any] = super().execute(raise_on_error)
            return answers

    def immediate_execute_command(self, *args: Any, **options: Any) -> Any:
        with permitted(self, *args):
            return super().immediate_execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def annotate_exception(self, exception: Any, number: int, command: Any) -> None:
        exception.asked = command
        super().annotate_exception(exception, number, command)  # type: ignore[no-untyped-call]


class _PubSub(PubSub):
    """redis-py's listener to channels."""

    def parse_response(self, *args: Any, **options: Any) -> Any:
        with permitted(self, "SUBSCRIBE", *self.channels, *self.patterns):
            return super().parse_response(*args, **options)  # type: ignore[no-untyped-call]


class Client(Redis):
    """redis-py's client, which also sets aside what is not a message."""

    def __init__(self, *, channel: Any, **options: Any) -> None:
        super().__init__(**options)
        self._channel = channel

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Commands that are sent together."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def pubsub(self, **options: Any) -> PubSub:
        """A listener to channels."""
        return _PubSub(self.connection_pool, **options)

    def execute_command(self, *args: Any, **options: Any) -> Any:
        """Send a command and return its answer."""
        with permitted(self, *args):
            return super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Read the answer to a command that was sent."""
        if command_name != "BRPOP":
            return super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        # It was sent before, by itself.
        with permitted(self, command_name, *self._channel.active_queues):
            answer = super().parse_response(connection, command_name, **options)  # type: ignore[no-untyped-call]
        if answer:
            if not is_message(answer[1], self._channel):
                self._channel.set_aside(bytes(answer[1]))
                return None  # as if the time to wait had passed
            self._channel.take_more(answer[0].decode(), answer[1])
        return answer


class _PrefixedPipeline(_Pipeline, transport.PrefixedRedisPipeline):  # type: ignore[misc]  # kombu ships no types
    """The same with a prefix before every key."""

    PREFIXED_SIMPLE_COMMANDS = PREFIXED_COMMANDS


class _PrefixedPubSub(_PubSub, transport.PrefixedRedisPubSub):  # type: ignore[misc]  # kombu ships no types
    """The same with a prefix before every channel."""


class PrefixedClient(Client, transport.PrefixedStrictRedis):  # type: ignore[misc]  # kombu ships no types
    """The same with a prefix before every key."""

    PREFIXED_SIMPLE_COMMANDS = PREFIXED_COMMANDS

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Commands that are sent together."""
        make: Any = _PrefixedPipeline
        return make(  # type: ignore[no-any-return]
            self.connection_pool, self.response_callbacks, transaction, shard_hint,
            global_keyprefix=self.global_keyprefix,
        )  # fmt: skip

    def pubsub(self, **options: Any) -> PubSub:
        """A listener to channels."""
        make: Any = _PrefixedPubSub
        return make(self.connection_pool, global_keyprefix=self.global_keyprefix, **options)  # type: ignore[no-any-return]
