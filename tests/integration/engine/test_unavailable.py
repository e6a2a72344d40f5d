"""A database that cannot write now: read-only, locked, without connections. Nothing is lost or paid twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from sandbox import SandboxConfig
from tests.faults.producers import Producers
from tests.integration.producer import SOURCE, TARGET
from tests.invariants import check_all
from tests.stack import Stack, running, wait_for
from workers.jobs.request import JobRequest

RUNNING = 40  # jobs of a batch whose submissions are answered while nothing can be written


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.5)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9", RECAST_SLOTS="40") as made:
        made.only("sandbox-zhiqite")
        made.configure(**{"sandbox-zhiqite": {"max_in_flight": 20}})
        yield made


@contextmanager
def commanding(stack: Stack) -> Iterator[psycopg.Connection[object]]:
    """A connection that writes at once, whatever the server's default is."""
    url = stack.env["RECAST_DATABASE_URL"].replace("+psycopg", "")
    with psycopg.connect(url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
        yield connection


def set_read_only(stack: Stack, value: str) -> None:
    with commanding(stack) as connection:
        connection.execute(f"ALTER SYSTEM SET default_transaction_read_only = {value}".encode())
        connection.execute("SELECT pg_reload_conf()")


def lines(stack: Stack, event: str) -> list[dict[str, object]]:
    """The worker's log lines about `event`."""
    text = stack.workers[0].log.read_text()
    return [json.loads(line) for line in text.splitlines() if f'"{event}"' in line]


def send(producers: Producers, number: int) -> list[str]:
    return [producers.send("swap", source=SOURCE, target=TARGET, provider="zhiqite") for _ in range(number)]


def in_the_end(stack: Stack, producers: Producers, sent: list[str], others: int = 0) -> None:
    """All jobs are there and done, each producer has its result, each answer was written, and the bill fits."""
    assert {producers.get(job)["state"] for job in sent} == {"succeeded"}
    assert stack.wait_settled(timeout=120) == {"succeeded": len(sent) + others}
    assert not lines(stack, "outcome_not_recorded")
    assert not lines(stack, "outcome_refused_by_database")
    assert stack.sql("SELECT count(*) AS n FROM attempts")[0].n == len(sent) + others
    wait_for(lambda: not stack.sql("SELECT 1 FROM announcements WHERE announced_at IS NULL"))
    check_all(stack)


@pytest.mark.timeout(900)
def test_a_database_that_is_read_only_for_a_while(stack: Stack) -> None:
    stack.worker().wait_ready()
    stack.beat()
    producers = Producers(stack)
    try:
        stack.insert([JobRequest(kind="swap", source=SOURCE, target=TARGET, provider="zhiqite")] * RUNNING)
        wait_for(lambda: stack.sql("SELECT 1 FROM attempts LIMIT 1"), message="submissions are under way")
        set_read_only(stack, "on")
        sent = send(producers, 10)
        wait_for(lambda: lines(stack, "job_waits_for_database"), message="a producer's task met it")
        wait_for(lambda: lines(stack, "outcomes_wait_for_database"), message="an answer is kept in hand")
        set_read_only(stack, "off")
        in_the_end(stack, producers, sent, RUNNING)
    finally:
        producers.close()


@pytest.mark.timeout(900)
def test_a_table_that_is_locked_for_longer_than_the_pool_waits(stack: Stack) -> None:
    stack.worker().wait_ready()
    stack.beat()
    producers = Producers(stack)
    try:
        with commanding(stack) as connection, connection.transaction():
            connection.execute("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            sent: list[str] = []

            def told() -> list[dict[str, object]]:
                # One by one: messages that come together are a group, which takes one connection for all of them.
                sent.extend(send(producers, 1))
                return lines(stack, "job_waits_for_database")

            wait_for(told, timeout=90, every=0.5, message="the pool's time is up")
        in_the_end(stack, producers, sent)
    finally:
        producers.close()
