"""Waits that take nothing: a list says that it holds something, and keeps it until a script takes and notes it at once.

kombu waits with BRPOP, which takes a message; the note that it is unacknowledged follows one round trip later. A worker
that is killed in between, or a connection that is lost, loses the message. BLMOVE from the end of a list to the same
end of it blocks like BRPOP, and leaves everything where it was. It waits for one list, so that each list has a
connection of its own beside those of kombu, in the same poller. All workers that wait are told of a message; one of
them gets it, and the others wait again.

A Redis before 6.2 has no such command: there the messages are waited for with BRPOP.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import structlog
from kombu.transport import redis as transport
from redis.exceptions import OutOfMemoryError, ResponseError

from workers.messaging.permissions import permitted
from workers.messaging.refusals import told

COMMAND = "BLMOVE"
#: Until a full broker, which refuses to wait, is asked again: it takes no new messages either.
FULL_SECONDS = 1.0

log = structlog.get_logger()


class NoSuchCommandError(Exception):
    """The server is older than the command that waits."""


class Wait:
    """The wait for one list of a queue, on a connection of its own that kombu's poller opens and watches."""

    def __init__(self, channel: Any, queue: str, key: str) -> None:
        self.channel, self.queue, self.key = channel, queue, key
        self.connection: Any = None
        #: When the wait that is under way began, on `time.monotonic`; None if there is none.
        self.asked_at: float | None = None
        self._not_before = 0.0

    @property
    def connection_pool(self) -> Any:
        """Where kombu's poller gets the connection from; its connections tell the poller when they are closed."""
        return self.channel.async_pool

    @property
    def is_due(self) -> bool:
        """Whether it is time to wait, or to wait again."""
        is_waiting = self.asked_at is not None and self.connection._sock is not None  # noqa: SLF001 - as kombu asks
        return not is_waiting and time.monotonic() >= self._not_before

    def start(self) -> None:
        """Begin to wait."""
        key = f"{self.channel.global_keyprefix}{self.key}"
        self.asked_at = time.monotonic()
        with told():
            self.connection.send_command(COMMAND, key, key, "RIGHT", "RIGHT", self.channel.brpop_timeout or 0)

    def read(self) -> bool:
        """Read the answer, which ends the wait; whether the list may hold something.

        Raises:
            NoSuchCommandError: the server knows no such wait.
            OSError: the broker is away, takes nothing now, or does not permit it.
            redis.exceptions.RedisError: as for every command.
        """
        if self.asked_at is None:  # nothing is expected: the server closed an idle connection
            self.connection.disconnect()
            return False
        try:
            with permitted(self.channel.client, COMMAND, self.key):
                return self._answer()
        except self.channel.connection_errors:
            self.connection.disconnect()
            raise
        finally:
            self.asked_at = None

    def _answer(self) -> bool:
        try:
            return self.channel.client.parse_response(self.connection, COMMAND) is not None
        except OutOfMemoryError:
            self._not_before = time.monotonic() + FULL_SECONDS
            return True
        except ResponseError as error:
            if "unknown command" in str(error):
                raise NoSuchCommandError from error
            raise

    def again(self) -> None:
        """Let the next wait begin at once, because there was something."""
        self._not_before = 0.0

    def check(self) -> None:
        """Close a connection whose answer is overdue: its server is gone without a word, as kombu checks its own."""
        channel, sock = self.channel, getattr(self.connection, "_sock", None)
        if self.asked_at is None or sock is None or not (channel.brpop_timeout and channel.health_check_interval):
            return
        waited = time.monotonic() - self.asked_at
        is_overdue = waited >= channel.brpop_timeout + channel.health_check_interval
        if is_overdue and not transport._socket_readable(sock):  # noqa: SLF001 - as kombu asks
            log.warning("wait_without_an_answer", seconds=round(waited))
            self.connection.disconnect()


class Waits:
    """The waits of a channel for some of its queues."""

    def __init__(self, channel: Any, queues: frozenset[str]) -> None:
        self._channel, self._queues = channel, queues
        self._by_list: dict[str, Wait] = {}

    def __iter__(self) -> Iterator[Wait]:
        return iter(self._by_list.values())

    @property
    def queues(self) -> frozenset[str]:
        """The queues that are waited for in this way now."""
        return self._queues.intersection(self._channel.active_queues)

    def due(self) -> list[Wait]:
        """The waits that are to begin now: none for a worker that has no room."""
        queues = self.queues
        if not queues or not self._channel.qos.can_consume():
            return []
        for queue in queues:
            for key in self._channel.lists(queue):
                if key not in self._by_list:
                    self._by_list[key] = Wait(self._channel, queue, key)
        return [wait for wait in self if wait.queue in queues and wait.is_due]

    def have_found(self, wait: Wait) -> bool:
        """Read how a wait ended; whether there may be something that the worker has room for."""
        try:
            return wait.read() and wait.queue in self.queues and bool(self._channel.qos.can_consume())
        except NoSuchCommandError:
            log.info("broker_without_waits", command=COMMAND)
            self._queues = frozenset()
            self._channel._update_queue_cycle()  # noqa: SLF001 - kombu's name
            return False


class Poller(transport.MultiChannelPoller):  # type: ignore[misc]  # kombu ships no types
    """kombu's poller, which also watches the waits of its channels."""

    def on_poll_start(self) -> None:
        """Begin what is to be waited for; a worker without room is told of nothing."""
        super().on_poll_start()
        for channel in self._channels:
            for wait in channel.waits.due():
                if not self._client_registered(channel, wait, wait):
                    self._register(channel, wait, wait)
                wait.start()

    def on_readable(self, fileno: int) -> Any:
        """Handle what came in."""
        channel, kind = self._fd_to_chan.get(fileno, (None, None))
        return channel.read_wait(kind) if isinstance(kind, Wait) else super().on_readable(fileno)

    def maybe_check_brpop_health(self) -> None:
        """Close the connections whose answer is overdue."""
        super().maybe_check_brpop_health()
        for channel in self._channels:
            for wait in channel.waits:
                wait.check()
