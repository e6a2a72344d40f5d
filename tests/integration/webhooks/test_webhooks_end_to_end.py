"""From `recast webhooks add` to the receiver, with real workers: one is killed before it can note a delivery."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import SandboxConfig
from tests.integration.receiver import Receiver, receiving
from tests.stack import PORTRAITS, ROOT, Stack, Worker, running, wait_for
from workers.jobs.request import JobRequest

SECONDS = 300.0  # for anything, on a machine that does much else; it takes two

SWAP = JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.3)
    settings = {"RECAST_PUBLIC_URL": "http://127.0.0.1:9", "RECAST_WEBHOOK_HOSTS": "127.0.0.1"}
    with running(tmp_path, config, **settings) as made:
        made.only("sandbox-zhiqite")
        yield made


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def start(stack: Stack, name: str) -> Worker:
    """A worker that is ready."""
    worker = stack.worker(name)
    wait_for(lambda: b"ready." in worker.log.read_bytes(), timeout=SECONDS, message=f"{worker.log} says ready")
    return worker


def add(stack: Stack, *arguments: str) -> str:
    """The secret of a webhook that `recast webhooks add` has made."""
    command = [sys.executable, "-m", "cli", "webhooks", "add", *arguments, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, check=True, timeout=SECONDS)
    secret: str = json.loads(done.stdout)["secret"]
    return secret


@pytest.mark.long
def test_a_killed_worker_has_its_message_sent_again_under_the_same_id(stack: Stack, receiver: Receiver) -> None:
    # Given a webhook whose first message finds the worker killed before the answer reaches it
    secret = add(stack, receiver.url(), "--events", "job.succeeded,batch.done", "--batch", "spring")
    first = start(stack, "first")

    def kill_once(_: object) -> tuple[int, dict[str, str]]:
        if len(receiver.received) == 1:
            first.kill()
        return 204, {}

    receiver.answer = kill_once
    stack.insert([SWAP] * 4, batch="autumn")
    stack.insert([SWAP] * 4, batch="spring")
    stack.beat()
    wait_for(lambda: receiver.received, timeout=SECONDS, message="the first message arrives")
    assert first.process is not None
    first.process.wait(10)

    # When the dead worker's leases and claims run out, and another one goes on
    change(stack, "UPDATE leases SET until = clock_timestamp() WHERE until IS NOT NULL")
    change(stack, "UPDATE deliveries SET next_at = clock_timestamp() WHERE next_at IS NOT NULL")
    start(stack, "second")
    stack.wait_settled(timeout=SECONDS)
    wait_for(lambda: delivered(stack) == DELIVERED, timeout=SECONDS, message="everything is delivered")

    # Then each end was told under an id of its own, and what nobody could note was told again under the same
    times = Counter(message.id for message in receiver.received)
    assert times[receiver.received[0].id] == 2
    signed = zip(receiver.received, receiver.events(secret), strict=True)
    events = {message.id: event for message, event in signed}
    assert Counter(event["type"] for event in events.values()) == {"job.succeeded": 4, "batch.done": 1}
    assert {event["data"]["batch"] for event in events.values()} == {"spring"}
    results = [event["data"]["results"][0]["uri"] for event in events.values() if event["type"] == "job.succeeded"]
    assert all(Path(uri.removeprefix("file://")).is_file() for uri in results)


DELIVERED = Counter({("job.succeeded", True): 4, ("batch.done", True): 1})


def delivered(stack: Stack) -> Counter[tuple[str, bool]]:
    rows = stack.sql("SELECT event, delivered_at IS NOT NULL AS is_delivered FROM deliveries")
    return Counter((row.event, row.is_delivered) for row in rows)


def change(stack: Stack, statement: str) -> None:
    with stack.engine.begin() as connection:
        connection.exec_driver_sql(statement)
