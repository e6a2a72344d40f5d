"""Workers that are asked to end: quickly, with everything recorded, and with nobody waiting for a person."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.faults.conftest import Deploy
from tests.faults.test_network import ACCOUNTS, START_SECONDS, ask
from tests.invariants import check_all, check_idle
from tests.stack import Stack, Worker, crowding, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]

SHUTDOWN_SECONDS = 10.0
ANSWER_SECONDS = 0.8  # of each call to a provider
JOBS = 150
LIMITS = {"max_in_flight": 50, "submit_timeout": "5s", "poll_every": "0.3s"}


@pytest.fixture
def stack(deploy: Deploy, tmp_path: Path) -> Any:
    """A deployment whose providers take their time, with many jobs and no worker yet."""
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.5, duplicates="bill")
    with deploy(config) as made:
        made.only(*ACCOUNTS)
        made.configure(**dict.fromkeys(ACCOUNTS, LIMITS))
        for call in ("submit", "poll"):
            made.sandbox.add_fault("latency", where={"call": call}, seconds=ANSWER_SECONDS)
        made.insert([ask(number) for number in range(JOBS)])
        made.beat()
        yield made


def test_a_deploy_holds_nobody(stack: Stack, record_property: Any) -> None:
    # Given a worker with many submissions and polls open
    worker = stack.worker("old")
    wait_for(lambda: busy(stack), timeout=START_SECONDS, message="submissions and polls are open")
    # When it is asked to end while its successor starts
    seconds = stop(worker, stack.worker, "new")
    record_property("ended_after", round(seconds, 1))
    # Then it ends soon, with every answer recorded, and nobody has to be asked what became of a job
    assert seconds < SHUTDOWN_SECONDS
    assert worker.process is not None
    assert worker.process.returncode == 0
    finish(stack)


@pytest.mark.matrix
def test_two_workers_restart_in_turn(stack: Stack) -> None:
    workers = [stack.worker("left"), stack.worker("right")]
    wait_for(lambda: busy(stack), timeout=START_SECONDS, message="submissions and polls are open")
    for worker in workers:
        assert stop(worker, stack.worker, f"{worker.name}-new") < SHUTDOWN_SECONDS
    finish(stack)


@pytest.mark.matrix
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_asked_twice(stack: Stack, record_property: Any, number: signal.Signals) -> None:
    # Given a worker in the middle of submissions
    worker = stack.worker("impatient")
    wait_for(lambda: busy(stack), timeout=START_SECONDS, message="submissions and polls are open")
    # When it is asked twice to end, as by a person who cannot wait
    assert worker.process is not None
    began = time.monotonic()
    worker.process.send_signal(number)
    wait_for(lambda: b"shutdown" in worker.log.read_bytes(), message="the first signal is heard")
    worker.process.send_signal(number)
    worker.process.wait(60)
    record_property("ended_after", round(time.monotonic() - began, 1))
    # Then it ends no later than when asked once, and nothing is lost
    assert time.monotonic() - began < SHUTDOWN_SECONDS * crowding()
    stack.worker("next")
    finish(stack)


def busy(stack: Stack) -> bool:
    states = {row.state: row.n for row in stack.sql("SELECT state, count(*) AS n FROM attempts GROUP BY state")}
    return bool(states.get("sending", 0) > 5 and states.get("running", 0) > 20)


def stop(worker: Worker, start: Any, successor: str) -> float:
    """Ask a worker to end while its successor starts; how long its end took."""
    assert worker.process is not None
    began = time.monotonic()
    worker.process.send_signal(signal.SIGTERM)
    start(successor)
    worker.process.wait(60)
    return time.monotonic() - began


def finish(stack: Stack) -> None:
    """Every job succeeds without help, and the books agree."""
    stack.sandbox.clear_faults()
    assert stack.wait_settled(timeout=90) == {"succeeded": JOBS}
    check_all(stack)
    check_idle(stack)
