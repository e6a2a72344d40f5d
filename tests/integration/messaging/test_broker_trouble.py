"""A broker that is full, or has in its queues other things than messages: a worker continues, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from sandbox import SandboxConfig
from tests.faults.producers import Producers
from tests.integration.producer import SOURCE, TARGET
from tests.invariants import check_all
from tests.stack import ROOT, Stack, running, wait_for
from workers.messaging.broker import UNREADABLE

JOBS = 120
LOOKS = 20  # within a second


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.1)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as made:
        made.only("sandbox-zhiqite")
        yield made


def send(producers: Producers, number: int) -> list[str]:
    return [producers.send("swap", source=SOURCE, target=TARGET, provider="zhiqite") for _ in range(number)]


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("setting", "bad", "good", "worker_first"),
    [
        ("maxmemory", "1mb", "0", True),
        pytest.param("maxmemory", "1mb", "0", False, marks=pytest.mark.long),
        ("min-replicas-to-write", "1", "0", True),
    ],
    ids=["full", "full at the start", "without its replicas"],
)
def test_a_broker_that_takes_nothing_loses_no_message_and_ends_no_worker(
    stack: Stack, setting: str, bad: str, good: str, worker_first: bool
) -> None:
    producers = Producers(stack)
    try:
        worker = stack.worker() if worker_first else None
        if worker:
            worker.wait_ready()
            os.kill(worker.pid, signal.SIGSTOP)  # or it may be done with all of them before the broker is full
        sent = send(producers, JOBS)
        stack.redis.config_set(setting, bad)
        if worker:
            os.kill(worker.pid, signal.SIGCONT)
        worker = worker or stack.worker()
        log = worker.log
        said = b"maxmemory" if setting == "maxmemory" else b"NOREPLICAS"
        wait_for(lambda: log.read_bytes().count(said) > 1, message="the worker met it more than once")
        assert worker.process is not None
        assert worker.process.poll() is None, "the worker runs"
        stack.redis.config_set(setting, good)
        stack.beat()
        wait_for(lambda: stack.sql("SELECT count(*) AS n FROM jobs")[0].n == JOBS, timeout=180, message="all are jobs")
        assert stack.wait_settled(timeout=180) == {"succeeded": JOBS}
        assert {producers.get(job)["state"] for job in sent} == {"succeeded"}
        assert worker.process.poll() is None
        check_all(stack)
    finally:
        stack.redis.config_set(setting, good)
        producers.close()


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_worker_that_is_killed_beside_a_full_broker_loses_no_message(tmp_path: Path) -> None:
    """The worst moment: messages have left their queue, the broker has no room, and the database takes no job yet."""
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.1)
    settings = {"RECAST_SLICE_SECONDS": "2", "RECAST_VISIBILITY_TIMEOUT": "90"}  # to give messages back within a test
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9", **settings) as stack:
        stack.only("sandbox-zhiqite")
        producers = Producers(stack)
        try:
            worker = stack.worker()
            worker.wait_ready()
            with stack.engine.connect() as locking:
                locking.execute(text("SET idle_in_transaction_session_timeout = 0"))
                # Before the worker stops: it may have been stopped while it held a lock of its own.
                locking.execute(text("LOCK TABLE jobs"))
                os.kill(worker.pid, signal.SIGSTOP)
                sent = send(producers, JOBS)
                stack.redis.config_set("maxmemory", "1mb")
                os.kill(worker.pid, signal.SIGCONT)
                wait_for(lambda: stack.redis.hlen("unacked") > 1, message="the worker has taken some")
                # Until it has no room for more: what a killed worker was just being handed, no broker of this kind has.
                looks: list[int] = []

                def has_no_room() -> bool:
                    looks.append(stack.redis.llen("jobs"))
                    return len(looks) > LOOKS and len(set(looks[-LOOKS:])) == 1

                wait_for(has_no_room, message="the worker takes no more")
                worker.kill()
            held, waiting = stack.redis.hlen("unacked"), stack.redis.llen("jobs")
            assert held + waiting >= JOBS, "each is in the queue or noted"
            stack.redis.config_set("maxmemory", "0")
            stack.worker("another")
            stack.beat()
            wait_for(
                lambda: stack.sql("SELECT count(*) AS n FROM jobs")[0].n == JOBS, timeout=300, message="all are jobs"
            )
            assert stack.wait_settled(timeout=180) == {"succeeded": JOBS}
            assert {producers.get(job)["state"] for job in sent} == {"succeeded"}
            check_all(stack)
        finally:
            producers.close()


@pytest.mark.timeout(600)
def test_what_is_no_message_is_set_aside_and_the_rest_goes_on(stack: Stack) -> None:
    producers = Producers(stack)
    junk = [b"hello", b"", b"{}", b"[1, 2]", b'{"properties": {}}', b"\xff\xfe\x00", json.dumps({"a": 1}).encode()]
    try:
        worker = stack.worker()
        worker.wait_ready()
        for queue in ("jobs", "pumps", "files", "beat"):
            stack.redis.rpush(queue, *junk)
        (job,) = send(producers, 1)
        assert producers.get(job)["state"] == "succeeded"
        wait_for(lambda: stack.redis.llen(UNREADABLE) == 4 * len(junk), message="all is set aside")
        assert worker.process is not None
        assert worker.process.poll() is None
        logged = worker.log.read_text()
        assert logged.count('"message_set_aside"') == 4 * len(junk)
    finally:
        producers.close()


@pytest.mark.timeout(300)
def test_a_worker_that_ends_over_an_error_does_not_exit_with_0(stack: Stack) -> None:
    stack.redis.set("jobs", "a value where a queue should be")
    done = subprocess.run(
        [sys.executable, "-m", "cli", "worker"], cwd=ROOT, env=stack.env,
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode not in {0, None}, done.stderr
