"""Clients of the broker: redis-py's, whose refusals are told as such, and which hand to the channel what they take."""

from __future__ import annotations

from typing import Any

from kombu.transport import redis as transport
from redis import Redis
from redis.client import Pipeline

from workers.messaging.messages import is_message
from workers.messaging.refusals import told

#: kombu's list lacks what only we use.
PREFIXED_COMMANDS = [*transport.GlobalKeyPrefixMixin.PREFIXED_SIMPLE_COMMANDS, "GET", "LTRIM", "LRANGE"]


class _Pipeline(Pipeline):
    """redis-py's pipeline, whose refusals are told when all of its answers have been read."""

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        with told():
            answers: list[Any] = super().execute(raise_on_error)
            return answers


class Client(Redis):
    """redis-py's client, whose refusals are told as such, and which sets aside what is not a message."""

    def __init__(self, *, channel: Any, **options: Any) -> None:
        super().__init__(**options)
        self._channel = channel

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """A pipeline of the same kind."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """An answer; what is not a message is set aside."""
        with told():
            answer = super().parse_response(  # type: ignore[no-untyped-call]
                connection, command_name, **options
            )
        if command_name == "BRPOP" and answer:
            if not is_message(answer[1], self._channel):
                self._channel.set_aside(bytes(answer[1]))
                return None  # as if the time to wait had passed
            self._channel.take_more(answer[0].decode(), answer[1])
        return answer


class _PrefixedPipeline(_Pipeline, transport.PrefixedRedisPipeline):  # type: ignore[misc]  # kombu ships no types
    """The same with a prefix before every key."""

    PREFIXED_SIMPLE_COMMANDS = PREFIXED_COMMANDS


class PrefixedClient(Client, transport.PrefixedStrictRedis):  # type: ignore[misc]  # kombu ships no types
    """The same with a prefix before every key."""

    PREFIXED_SIMPLE_COMMANDS = PREFIXED_COMMANDS

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """A pipeline of the same kind."""
        make: Any = _PrefixedPipeline
        return make(  # type: ignore[no-any-return]
            self.connection_pool, self.response_callbacks, transaction, shard_hint,
            global_keyprefix=self.global_keyprefix,
        )  # fmt: skip
