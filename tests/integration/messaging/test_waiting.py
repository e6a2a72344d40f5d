"""Waits that take nothing: no message is lost, and each is given once, in order, to who has room."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Any

import pytest
from kombu import Connection
from redis import Redis

from tests.integration.messaging.channels import Transport, consume, look, look_until, publish, texts
from tests.stack import ROOT, wait_for
from workers.messaging import broker, waiting


def waits(redis: Redis) -> int:
    """How many clients have begun to wait for a list."""
    found: Any = redis.info("commandstats")
    return int(found.get("cmdstat_blmove", {"calls": 0})["calls"])


@pytest.mark.parametrize("answer", [1, 2], ids=["told of it", "given it"])
def test_a_worker_that_is_killed_as_the_broker_answers_loses_no_message(url: str, redis: Redis, answer: int) -> None:
    """In between a message has left its queue, or has not; nobody may see it gone and not noted."""
    with Connection(url, transport=Transport, transport_options={"visibility_timeout": 1}) as connection:
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
    with Connection(url, transport=Transport) as connection:
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
    look_until(channel, lambda: got, "some are taken")
    assert texts(got)[:3] == ["now", "soon", "late"]
    room = 8 - broker.SPARE_ROOM
    assert len(got) <= room
    assert redis.hlen("unacked") == len(got)


def test_who_has_no_room_does_not_wait_and_is_told_of_nothing(channel: Any, redis: Redis) -> None:
    channel.basic_qos(0, 1, False)
    got = consume(channel, "jobs")
    publish(channel, "a", "b")
    look_until(channel, lambda: got, "one is taken")
    look(channel)
    before = waits(redis)
    for _ in range(20):
        look(channel, 0.01)
    assert waits(redis) == before
    assert len(got) == redis.llen("jobs") == 1
    got[0].ack()
    look_until(channel, lambda: len(got) == 2, "with room again, the other one is taken")


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
    look_until(channel, lambda: len(got) == 3, "all are taken")
    assert redis.hlen("unacked") == 3
    look(channel)
    before = waits(redis)
    for _ in range(20):
        look(channel, 0.01)
    lists = len(channel.priority_steps)
    assert waits(redis) - before <= lists * (1 + 20 * 0.01 / waiting.FULL_SECONDS) * 2
    redis.config_set("maxmemory", 0)
    publish(channel, "d")
    look_until(channel, lambda: len(got) == 4, "it goes on")


def test_what_is_no_message_at_the_end_of_a_list_is_set_aside(channel: Any, redis: Redis) -> None:
    got = consume(channel, "jobs")
    redis.rpush("jobs", b"hello", b'{"properties": 7}')
    publish(channel, "a")
    look_until(channel, lambda: got, "the message behind them is taken")
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
    look_until(channel, lambda: len(got) == 2, "both are taken")
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
    look_until(channel, lambda: not redis.llen("jobs"), "who consumes again gets it")


def test_a_lost_connection_is_told_and_waited_on_again(channel: Any, redis: Redis) -> None:
    got = consume(channel, "jobs")
    look(channel)
    redis.client_kill_filter(_type="normal", skipme=True)
    told: list[BaseException] = []

    def is_here() -> bool:
        try:
            look(channel)
        except channel.connection.client.connection_errors as error:
            told.append(error)
        return bool(got)

    wait_for(lambda: is_here() or told, message="it is told")
    publish(channel, "a")
    wait_for(is_here, message="it waits again")


@pytest.mark.usefixtures("redis")
def test_a_wait_that_gets_no_answer_is_given_up_and_begun_again(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its server may be gone without a word; nothing would ever be read from such a connection."""
    got = consume(channel, "jobs")
    look(channel)
    monkeypatch.setattr("kombu.transport.redis._socket_readable", lambda _: False)
    before = [wait.connection for wait in channel.waits]
    assert len(before) == len(channel.priority_steps)
    for wait in channel.waits:
        wait.asked_at = 0.0 if wait.asked_at is None else wait.asked_at - 1_000
    channel.connection.cycle.maybe_check_brpop_health()
    assert [connection._sock for connection in before] == [None] * len(before)
    publish(channel, "a")
    look_until(channel, lambda: got, "it is taken")
