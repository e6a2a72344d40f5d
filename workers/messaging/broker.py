"""Additions to kombu's transport for Redis: a repair, patience, a list for what cannot be read, and groups of messages.

The repair: when Redis goes away under a worker that has unacknowledged messages, Celery 5.7 closes the connection
twice. The first time the channel's pending read raises, so the channel stays open although its transport has let go of
the connection; the second time the channel wants to give its messages back, finds no address to connect to, and raises
an AttributeError, which no caller expects: "Unrecoverable error", and the worker ends. So do acknowledgements of tasks
that outlive the connection. Told by the transport's own kind of error, both are passed over, and the worker connects
again.

Patience: the refusals of a broker that is full or read-only are told as a lost connection. With kombu, a message leaves
its queue before the worker notes it as unacknowledged. A full broker takes that note from a script; where it takes
none, such a message is processed all the same, and no other one is taken until the note is made or the message is done.

Messages of `IN_GROUPS` are taken and acknowledged many at a time. They leave their queue by the script that notes them.

Broadcasts are subscribed to by name, which every user may do who may use the channel; kombu subscribes to patterns,
which only a user may whose rules have the very same pattern.

What is not a message of Celery's is moved to a list of its own, where `recast doctor` counts it; kombu would end the
worker over it.
"""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Iterable, Sequence
from queue import Empty
from typing import Any

import structlog
from kombu.transport import redis as transport
from kombu.transport import virtual
from kombu.utils.json import dumps
from redis.exceptions import ConnectionError as BrokerConnectionError
from redis.exceptions import RedisError

from recast.names import JOBS_QUEUE
from workers.messaging.clients import Client, PrefixedClient
from workers.messaging.messages import read
from workers.messaging.refusals import told
from workers.messaging.taking import Taken, note_although_full, take, take_with
from workers.messaging.waiting import Poller, Wait, Waits

#: The list of what was in a queue and is not a message; the newest is first.
UNREADABLE = "recast.unreadable"
MAX_UNREADABLE = 1_000  # items that are kept; they are for a person to look at, and must not fill the broker
#: Queues whose messages come by the thousand, and wait for no slot.
IN_GROUPS = frozenset({JOBS_QUEUE})
#: Messages at hand that a group leaves room for, so that those of other queues are not kept waiting.
SPARE_ROOM = 4
NOTE_SECONDS = 1.0  # between two tries to note messages in a broker that was full

#: What makes the name of a channel a pattern of Redis.
PATTERN_SIGNS = frozenset("*?[\\")

log = structlog.get_logger()


class QoS(transport.QoS):  # type: ignore[misc]  # kombu ships no types
    """kombu's list of unacknowledged messages, which loses none that the broker had no room to note."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._unnoted: dict[str, Any] = {}
        #: What is done, and the broker took no word of; each takes the place of a message until it does.
        self._unacknowledged: set[str] = set()
        self._note_at = 0.0
        #: Messages that were noted when they were taken, and have yet to be delivered.
        self.noted: set[str] = set()

    def append(self, message: Any, delivery_tag: str) -> None:
        """Note a message that has just left its queue."""
        if delivery_tag in self.noted:
            self.noted.discard(delivery_tag)
            virtual.QoS.append(self, message, delivery_tag)
            return
        try:
            super().append(message, delivery_tag)
        except (RedisError, OSError) as error:
            place = message.delivery_info
            written = dumps([message._raw, place["exchange"], place["routing_key"]])  # noqa: SLF001 - as kombu writes it
            if not note_although_full(self.channel, delivery_tag, written):
                log.warning("message_not_noted", error=type(error).__name__, detail=str(error))
                self._unnoted[delivery_tag] = message
            virtual.QoS.append(self, message, delivery_tag)

    @property
    def room(self) -> int:
        """How many messages may be taken behind one."""
        return int(self.prefetch_count) - len(self._delivered) + len(self._dirty) - SPARE_ROOM - 1

    @property
    def owes(self) -> bool:
        """Whether there is something that the broker did not take before."""
        return bool(self._unnoted or self._unacknowledged or self.channel.aside)

    def can_consume(self) -> bool:
        """Whether another message may be taken: not while the broker is to be told of others."""
        return self._all_told() and bool(super().can_consume())

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge a message, noted or not."""
        self.ack_all([delivery_tag])

    def ack_all(self, tags: Sequence[str]) -> None:
        """Acknowledge messages in one round trip, from any thread; what the broker does not take is told later."""
        try:
            self._acknowledge(tags)
        except (RedisError, OSError) as error:
            log.warning("messages_not_acknowledged", messages=len(tags), error=str(error))
            self._unacknowledged.update(tags)

    def _acknowledge(self, tags: Sequence[str]) -> None:
        with self.pipe_or_acquire() as pipe:
            pipe.zrem(self.unacked_index_key, *tags).hdel(self.unacked_key, *tags).execute()
        for tag in tags:
            virtual.QoS.ack(self, tag)
            self._unnoted.pop(tag, None)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Give a message up or, with `requeue`, back; what was not noted is given back once it is."""
        if not requeue:
            self.ack_all([delivery_tag])
        elif delivery_tag not in self._unnoted:
            super().reject(delivery_tag, requeue=True)

    def restore_unacked(self, client: Any = None) -> None:
        """Give back what is unacknowledged when the worker ends."""
        self._note_at = 0.0
        if not self._all_told() and self._unnoted:
            log.error("messages_lost", messages=len(self._unnoted))
        super().restore_unacked(client)

    def _all_told(self) -> bool:
        """Tell the broker what it did not take before; whether nothing of it is left."""
        if not self.owes:
            return True
        if time.monotonic() < self._note_at:
            return False
        self._note_at = time.monotonic() + NOTE_SECONDS
        try:
            self.channel.write_aside()
            if done := list(self._unacknowledged):
                self._acknowledge(done)
                self._unacknowledged.difference_update(done)
            for tag, message in list(self._unnoted.items()):
                super().append(message, tag)
                self._unnoted.pop(tag, None)
        except (RedisError, OSError) as error:
            log.warning("broker_takes_nothing", error=str(error))
            return False
        return True


class Channel(transport.Channel):  # type: ignore[misc]  # kombu ships no types
    """kombu's channel, which raises the transport's own errors."""

    QoS = QoS
    #: When the broker last answered a request for messages, with or without one; on `time.monotonic`.
    answered_at = 0.0

    def __init__(self, *args: Any, **options: Any) -> None:
        #: What was not a message, until the broker has room for it.
        self.aside: list[bytes] = []
        #: Messages that were taken and noted behind another one, until that one is delivered; and their queue.
        self._taken: list[Taken] = []
        self._taken_from = ""
        self._shared: Any = None
        self.waits = Waits(self, IN_GROUPS)
        super().__init__(*args, **options)

    def _get_client(self) -> Any:
        if self.global_keyprefix:
            return functools.partial(PrefixedClient, channel=self, global_keyprefix=self.global_keyprefix)
        return functools.partial(Client, channel=self)

    def _create_client(self, asynchronous: bool = False) -> Any:
        """One client for each pool: making one costs as much as what it is made for, and kombu makes one each time."""
        if asynchronous:
            return super()._create_client(asynchronous=True)
        pool = self.pool
        if self._shared is None or self._shared.connection_pool is not pool:
            self._shared = super()._create_client()
        return self._shared

    def _connparams(self, asynchronous: bool = False) -> dict[str, Any]:
        if self.connection.client is None:
            raise BrokerConnectionError("the connection of this channel was closed")
        params: dict[str, Any] = super()._connparams(asynchronous)
        return params

    def _receive_one(self, client: Any) -> Any:
        with told():
            return super()._receive_one(client)

    def _brpop_start(self, *args: Any, **options: Any) -> None:
        with told():  # redis-py first asks a connection that was idle whether it lives
            super()._brpop_start(*args, **options)

    def _subscribe(self) -> None:
        with told():
            self._subscribe_by_name()

    def _subscribe_by_name(self) -> None:
        topics = [topic for queue in self.active_fanout_queues for topic in self._get_subscribe_topics(queue)]
        if not topics:
            return
        client = self.subclient
        if client.connection._sock is None:  # noqa: SLF001 - as kombu asks
            client.connection.connect()
        self._in_listen = client.connection
        names, patterns = _divided(topics)
        if patterns:
            client.psubscribe(*patterns)
        if names:
            client.subscribe(*names)

    def _unsubscribe_from(self, queue: str) -> None:
        client = self.subclient
        if not client.connection or not client.connection._sock:  # noqa: SLF001 - as kombu asks
            return
        names, patterns = _divided(self._get_subscribe_topics(queue))
        if patterns:
            client.punsubscribe(*patterns)
        if names:
            client.unsubscribe(*names)

    def _brpop_read(self, **options: Any) -> Any:
        try:
            message = super()._brpop_read(**options)
        except Empty:
            Channel.answered_at = time.monotonic()
            raise
        Channel.answered_at = time.monotonic()
        self._deliver_all()
        return message

    def _update_queue_cycle(self) -> None:
        """Leave to BRPOP what is not waited for otherwise."""
        self._queue_cycle.update([queue for queue in self.active_queues if queue not in self.waits.queues])

    def lists(self, queue: str) -> list[str]:
        """The lists of a queue, the most urgent first."""
        return [self._q_for_pri(queue, priority) for priority in self.priority_steps]

    def read_wait(self, wait: Wait) -> bool:
        """Read how a wait ended, and take what is there from all lists of its queue.

        Raises:
            queue.Empty: there was nothing, as kombu's own handlers say it.
        """
        if self.waits.have_found(wait):
            self._taken_from = wait.queue
            self._taken += take(self, self.lists(wait.queue), max(self.qos.room, 0) + 1)
        Channel.answered_at = time.monotonic()
        if not self._taken:
            raise Empty
        wait.again()
        self._deliver_all()
        return True

    def _poll_error(self, type: Any, **options: Any) -> Any:  # noqa: A002 - kombu's name
        return self.read_wait(type) if isinstance(type, Wait) else super()._poll_error(type, **options)

    def take_more(self, key: str, item: bytes) -> None:
        """Take what has come behind a message, from a queue whose messages are worked on in groups."""
        queue = key.rsplit(self.sep, 1)[0]
        if queue not in IN_GROUPS:
            return
        try:
            first, *self._taken = take_with(self, key, item, max(self.qos.room, 0))
        except (RedisError, OSError) as error:
            log.warning("group_not_taken", error=str(error))
            return  # the message is noted by itself
        self._taken_from = queue
        self.qos.noted.add(first.tag)

    def _deliver_all(self) -> None:
        while self._taken:
            self._deliver_taken(self._taken.pop(0))

    def _deliver_taken(self, taken: Taken) -> None:
        message = read(taken.item, self)
        if message is None:
            self.set_aside(taken.item)
            if taken.tag:
                self.qos.ack(taken.tag)
            return
        self.qos.noted.add(taken.tag)
        self.connection._deliver(message, self._taken_from)  # noqa: SLF001 - as kombu delivers

    def set_aside(self, item: bytes) -> None:
        """Keep what is not a message for a person; its text is not logged, because nobody knows what it is."""
        log.error("message_set_aside", bytes=len(item), sha256=hashlib.sha256(item).hexdigest(), list=UNREADABLE)
        self.aside.append(item)
        try:
            self.write_aside()
        except (RedisError, OSError) as error:
            log.warning("not_set_aside_yet", error=str(error))

    def write_aside(self) -> None:
        """Write what was set aside."""
        if self.aside:
            with self.conn_or_acquire() as client, client.pipeline() as pipe:
                pipe.lpush(UNREADABLE, *self.aside)
                pipe.ltrim(UNREADABLE, 0, MAX_UNREADABLE - 1)
                pipe.execute()
            self.aside.clear()


def _divided(topics: Sequence[str]) -> tuple[set[str], set[str]]:
    """The names among these topics, and the patterns."""
    patterns = {topic for topic in topics if not PATTERN_SIGNS.isdisjoint(topic)}
    return set(topics) - patterns, patterns


class SentinelChannel(Channel, transport.SentinelChannel):  # type: ignore[misc]  # kombu ships no types
    """The same behind Sentinel."""


def acknowledge(messages: Iterable[Any]) -> None:
    """Acknowledge these messages, in one round trip for each of their channels."""
    tags: dict[Channel, list[str]] = {}
    for message in messages:
        tags.setdefault(message.channel, []).append(message.delivery_tag)
    for channel, its in tags.items():
        channel.qos.ack_all(its)


def repair() -> None:
    """Use our channel for every connection that this process opens from now on."""
    transport.Transport.Channel = Channel
    transport.SentinelTransport.Channel = SentinelChannel
    transport.MultiChannelPoller = Poller  # what a transport that is made from now on polls with
