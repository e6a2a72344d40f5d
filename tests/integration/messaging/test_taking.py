"""Messages taken many at a time: each is noted as kombu notes it, and a full broker loses none."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from kombu.transport import redis as redis_transport
from redis import Redis
from redis.exceptions import OutOfMemoryError, ResponseError

from tests.integration.messaging.channels import publish
from workers.messaging import broker, taking
from workers.messaging.refusals import BrokerRefusalError
from workers.messaging.taking import take, take_with


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
    monkeypatch.setattr(taking, "_TOO_OLD", "")  # whatever this server says to it
    channel.queue_declare("jobs")
    publish(channel, "a", "b")
    good = first(redis)
    redis.config_set("maxmemory", 1)
    assert len(take_with(channel, "jobs", good, 1)) == 2
    assert taking.note_although_full(channel, "a tag", "a message")
    assert redis.hlen("unacked") == redis.zcard("unacked_index") == 3


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


def test_several_lists_are_taken_from_up_to_a_number(channel: Any, redis: Redis) -> None:
    channel.queue_declare("jobs")
    publish(channel, "a", "b")
    publish(channel, "c", "d", priority=3)
    taken = take(channel, channel.lists("jobs"), 3)
    assert [json.loads(each.item)["properties"]["priority"] for each in taken] == [0, 0, 3]
    assert redis.hlen("unacked") == 3
    assert take(channel, channel.lists("jobs"), 0) == []
