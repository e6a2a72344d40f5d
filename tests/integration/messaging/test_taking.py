"""Messages taken many at a time: each is noted as kombu notes it, and a full broker loses none."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection
from kombu.transport import redis as redis_transport
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from devstack.servers import Servers
from tests.stack import ROOT, wait_for
from workers.messaging import broker, taking, waiting
from workers.messaging.refusals import BrokerRefusalError
from workers.messaging.taking import take, take_with
from workers.messaging.waiting import Poller


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Servers(tmp_path_factory.mktemp("servers"), durable=False) as servers:
        yield servers.urls.broker


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with Redis.from_url(url) as made:
        made.flushdb()
        yield made
        made.config_set("maxmemory", 0)


@pytest.fixture
def channel(url: str) -> Iterator[Any]:
    """A worker's channel, beside every other connection of this process."""
    with Connection(url, transport=_transport()) as connection:
        yield connection.channel()


def _transport() -> Any:
    class Transport(redis_transport.Transport):  # type: ignore[misc]  # kombu ships no types
        Channel = broker.Channel

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            self.cycle = Poller()

    return Transport


def publish(channel: Any, *bodies: str, priority: int = 0) -> None:
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


def texts(messages: list[Any]) -> list[str]:
    return [json.loads(message.body) for message in messages]


def waits(redis: Redis) -> int:
    """How many clients have begun to wait for a list."""
    found: Any = redis.info("commandstats")
    return int(found.get("cmdstat_blmove", {"calls": 0})["calls"])


def first(redis: Redis) -> bytes:
    item = redis.rpop("jobs")
    assert isinstance(item, bytes)
    return item


def test_what_is_taken_is_noted_and_can_be_given_back(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    publish(channel, "a", "b", "c", "d")

    taken = take_with(channel, "jobs", first(redis), 2)

    assert len(taken) == 3
    for each in taken:
        assert json.loads(each.item)["properties"]["delivery_tag"] == each.tag
    assert redis.llen("jobs") == 1, "no more than was asked for"
    assert redis.zcard("unacked_index") == redis.hlen("unacked") == 3
    for each in taken:
        channel.qos.restore_by_tag(each.tag)
    assert redis.llen("jobs") == 4
    assert redis.hlen("unacked") == 0


def test_what_is_no_message_is_taken_without_a_note(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    publish(channel, "a")
    good = first(redis)
    for item in (b"hello", b'{"properties": 7}', b"[1]"):
        redis.lpush("jobs", item)

    taken = take_with(channel, "jobs", good, 10)

    assert [each.tag for each in taken[1:]] == ["", "", ""]
    assert [each.item for each in taken[1:]] == [b"hello", b'{"properties": 7}', b"[1]"]
    assert redis.hlen("unacked") == 1


def test_what_is_taken_from_a_full_broker_is_noted_as_well(channel: Any, redis: Redis) -> None:
    """A worker that is killed now has lost nothing, and the queue that filled the broker gets shorter."""
    channel.queue_declare("jobs")
    publish(channel, "a", "b", "c")
    good = first(redis)
    redis.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        redis.set("anything", "else")

    taken = take_with(channel, "jobs", good, 1)

    assert redis.llen("jobs") == 1
    assert sorted(redis.hkeys("unacked")) == sorted(each.tag.encode() for each in taken)
    assert redis.zcard("unacked_index") == 2


def test_any_message_from_a_full_broker_is_noted_and_given_back(channel: Any, redis: Redis) -> None:
    channel.queue_declare("beat")
    channel.basic_publish(channel.prepare_message('"a"', content_type="application/json"), "", "beat")
    channel.basic_consume("beat", no_ack=False, callback=lambda _: None, consumer_tag="c")
    redis.config_set("maxmemory", 1)
    channel.connection.client.drain_events(timeout=20)
    (tag,) = redis.hkeys("unacked")
    redis.config_set("maxmemory", 0)
    channel.qos.restore_by_tag(tag)
    assert redis.llen("beat") == 1


def test_a_broker_that_writes_nothing_gives_nothing_away(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    publish(channel, "a", "b", "c")
    good = first(redis)
    redis.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises((ResponseError, BrokerRefusalError)):
            take_with(channel, "jobs", good, 10)
    finally:
        redis.config_set("min-replicas-to-write", 0)
    assert redis.llen("jobs") == 2
    assert redis.hlen("unacked") == 0


def test_an_older_redis_takes_the_script_without_its_flags(
    channel: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_ALTHOUGH_FULL", "#! what no server knows\n")
    channel.queue_declare("jobs")
    publish(channel, "a", "b")
    monkeypatch.setattr(taking, "_TOO_OLD", "")  # whatever this server says to it
    assert len(take_with(channel, "jobs", first(redis), 1)) == 2


def test_a_group_is_acknowledged_at_once_and_only_what_is_in_it(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    publish(channel, "a", "b", "c")
    tags = [each.tag for each in take_with(channel, "jobs", first(redis), 10)]

    broker.acknowledge(SimpleNamespace(channel=channel, delivery_tag=tag) for tag in tags[:2])

    assert redis.hkeys("unacked") == [tag.encode() for tag in tags[2:]]
    assert redis.zcard("unacked_index") == 1


def test_what_could_not_be_acknowledged_gives_its_places_back(
    channel: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker, "NOTE_SECONDS", 0.0)
    channel.queue_declare("jobs")
    channel.basic_qos(0, 4, False)
    publish(channel, *"abcd")
    got: list[Any] = []
    channel.basic_consume("jobs", no_ack=False, callback=got.append, consumer_tag="c")
    while len(got) < 4:
        channel.connection.client.drain_events(timeout=20)
    redis.config_set("min-replicas-to-write", 1)
    try:
        broker.acknowledge(got[:3])
        got[3].ack()
        assert not channel.qos.can_consume()
        assert redis.hlen("unacked") == 4
    finally:
        redis.config_set("min-replicas-to-write", 0)
    assert channel.qos.can_consume(), "a worker that is done with all takes more"
    assert redis.hlen("unacked") == redis.zcard("unacked_index") == 0


def test_a_server_that_becomes_a_replica_is_a_lost_connection(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    channel.basic_consume("jobs", no_ack=True, callback=lambda _: None, consumer_tag="c")
    with pytest.raises(TimeoutError):
        channel.connection.client.drain_events(timeout=0.1)  # it waits for messages from now on
    redis.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(channel.connection.client.connection_errors):
            channel.connection.client.drain_events(timeout=20)
    finally:
        redis.replicaof("NO", "ONE")


@pytest.mark.parametrize("ask", ["subscribed", "subscribing", "waiting"])
def test_a_broker_whose_disk_is_full_is_a_lost_connection_wherever_it_says_so(
    channel: Any, monkeypatch: pytest.MonkeyPatch, ask: str
) -> None:
    """It answers even a PING so, on connections that only listen; Celery takes that for the end of the worker."""

    def refuse(*_: Any, **__: Any) -> None:
        raise ResponseError("MISCONF Errors writing to the AOF file: No space left on device")

    channel.queue_declare("jobs")
    calls: dict[str, tuple[Any, str, Any]] = {
        "subscribed": (redis_transport.Channel, "_receive_one", lambda: channel._receive_one(None)),
        "subscribing": (broker.Channel, "_subscribe_by_name", channel._subscribe),
        "waiting": (redis_transport.Channel, "_brpop_start", channel._brpop_start),
    }
    where, name, call = calls[ask]
    monkeypatch.setattr(where, name, refuse)
    with pytest.raises(channel.connection.client.connection_errors):
        call()


@pytest.mark.parametrize("answer", [1, 2], ids=["told of it", "given it"])
def test_a_worker_that_is_killed_as_the_broker_answers_loses_no_message(url: str, redis: Redis, answer: int) -> None:
    """In between a message has left its queue, or has not; nobody may see it gone and not noted."""
    with Connection(url, transport=_transport(), transport_options={"visibility_timeout": 1}) as connection:
        channel = connection.channel()
        channel.queue_declare("jobs")
        killed = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.messaging.killed", url, str(answer)], cwd=ROOT
        )
        try:
            wait_for(lambda: redis.info("clients")["blocked_clients"], message="it waits")
            publish(channel, "the only one")
            assert killed.wait(60) == -signal.SIGKILL
        finally:
            killed.kill()
        assert redis.llen("jobs") + redis.hlen("unacked") == 1
        got = consume(channel, "jobs")

        def is_here() -> bool:
            look(channel)
            channel.qos.restore_visible(interval=1)
            return bool(got)

        wait_for(is_here, message="another one takes it")
        assert texts(got) == ["the only one"]
        got[0].ack()


@pytest.mark.usefixtures("redis")
def test_each_message_goes_to_one_of_those_who_wait(url: str, channel: Any) -> None:
    with Connection(url, transport=_transport()) as connection:
        other = connection.channel()
        both = [consume(channel, "jobs"), consume(other, "jobs")]
        look(channel)
        look(other)
        sent = [f"message {number}" for number in range(6)]
        for text in sent:
            publish(channel, text)
            look(other)
            look(channel)
        assert sorted(texts(both[0]) + texts(both[1])) == sent
        assert both[1], "who waited before may get it"


def test_the_most_urgent_are_taken_first_and_no_more_than_there_is_room_for(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    channel.basic_qos(0, 8, False)
    publish(channel, "late", "later", priority=9)
    publish(channel, "soon", priority=3)
    publish(channel, "now")
    got = consume(channel, "jobs")
    wait_for(lambda: look(channel) or got, message="some are taken")
    assert texts(got)[:3] == ["now", "soon", "late"]
    room = 8 - broker.SPARE_ROOM
    assert len(got) <= room
    assert redis.hlen("unacked") == len(got)


def test_who_has_no_room_does_not_wait_and_is_told_of_nothing(channel: Any, redis: Redis) -> None:
    channel.basic_qos(0, 1, False)
    got = consume(channel, "jobs")
    publish(channel, "a", "b")
    wait_for(lambda: look(channel) or got, message="one is taken")
    look(channel)
    before = waits(redis)
    for _ in range(20):
        look(channel, 0.01)
    assert waits(redis) == before
    assert len(got) == redis.llen("jobs") == 1
    got[0].ack()
    wait_for(lambda: look(channel) or len(got) == 2, message="with room again, the other one is taken")


@pytest.mark.usefixtures("redis")
def test_other_queues_are_served_beside_a_full_one(channel: Any) -> None:
    channel.basic_qos(0, 2, False)
    got = consume(channel, "jobs", "beat")
    publish(channel, *(str(number) for number in range(40)))
    channel.basic_publish(channel.prepare_message('"beat"', content_type="application/json"), "", "beat")
    for _ in range(40):
        look(channel)
        for message in got:
            if message.delivery_tag in channel.qos._delivered:
                message.ack()
        if "beat" in texts(got):
            return
    raise AssertionError(texts(got))


def test_what_comes_to_a_full_broker_is_taken_and_an_empty_queue_is_asked_for_rarely(
    channel: Any, redis: Redis
) -> None:
    got = consume(channel, "jobs")
    publish(channel, "a", "b", "c")
    redis.config_set("maxmemory", 1)
    wait_for(lambda: look(channel) or len(got) == 3, message="all are taken")
    assert redis.hlen("unacked") == 3
    look(channel)
    before = waits(redis)
    for _ in range(20):
        look(channel, 0.01)
    lists = len(channel.priority_steps)
    assert waits(redis) - before <= lists * (1 + 20 * 0.01 / waiting.FULL_SECONDS) * 2
    redis.config_set("maxmemory", 0)
    publish(channel, "d")
    wait_for(lambda: look(channel) or len(got) == 4, message="it goes on")


def test_what_is_no_message_at_the_end_of_a_list_is_set_aside(channel: Any, redis: Redis) -> None:
    got = consume(channel, "jobs")
    redis.rpush("jobs", b"hello", b'{"properties": 7}')
    publish(channel, "a")
    wait_for(lambda: look(channel) or got, message="the message behind them is taken")
    assert redis.llen(broker.UNREADABLE) == 2
    assert redis.llen("jobs") == 0


def test_a_server_without_such_waits_is_asked_as_kombu_asks(
    channel: Any, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "COMMAND", "NOSUCHMOVE")
    got = consume(channel, "jobs")
    look(channel)
    assert not channel.waits.queues
    publish(channel, "a", "b")
    wait_for(lambda: look(channel) or len(got) == 2, message="both are taken")
    assert redis.hlen("unacked") == 2


def test_a_queue_that_is_not_consumed_any_more_gives_nothing(channel: Any, redis: Redis) -> None:
    got = consume(channel, "jobs")
    look(channel)
    channel.basic_cancel("jobs")
    publish(channel, "a")
    look(channel)
    assert not got
    assert redis.llen("jobs") == 1
    consume(channel, "jobs")
    wait_for(lambda: look(channel) or not redis.llen("jobs"), message="who consumes again gets it")


def test_a_lost_connection_is_told_and_waited_on_again(channel: Any, redis: Redis) -> None:
    got = consume(channel, "jobs")
    look(channel)
    redis.client_kill_filter(_type="normal", skipme=True)
    with pytest.raises(channel.connection.client.connection_errors):
        for _ in range(10):
            look(channel)
    publish(channel, "a")

    def is_here() -> bool:
        with suppress(*channel.connection.client.connection_errors):
            look(channel)
        return bool(got)

    wait_for(is_here, message="it waits again")


def test_several_lists_are_taken_from_up_to_a_number(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    publish(channel, "a", "b")
    publish(channel, "c", "d", priority=3)
    taken = take(channel, channel.lists("jobs"), 3)
    assert [json.loads(each.item)["properties"]["priority"] for each in taken] == [0, 0, 3]
    assert redis.hlen("unacked") == 3
    assert take(channel, channel.lists("jobs"), 0) == []
