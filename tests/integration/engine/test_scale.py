"""A waiting job costs a row: slots and messages depend on accounts, never on jobs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from celery import Celery

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, Stack, running
from workers.config.settings import Settings
from workers.jobs import request
from workers.messaging.app import configuration

LATENCY = 30.0
MESSAGES_BESIDES = 6  # store pumps and their wake-ups, the sweep: the same for any number of jobs
LOOK_SECONDS = 0.2  # between looks, which would take a core of their own otherwise
RETURNS_AT_ONCE = 5.0  # seconds; milliseconds on a machine that is not busy, while a slice lasts ten
SWAP = request.JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))


@pytest.mark.long
@pytest.mark.parametrize("jobs", [200, 2_000])
def test_all_jobs_wait_at_once_in_two_slots_and_a_handful_of_messages(tmp_path: Path, jobs: int) -> None:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=LATENCY)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack:
        stack.only("sandbox-zhiqite")
        stack.configure(**{"sandbox-zhiqite": {"max_in_flight": jobs}})
        stack.insert([SWAP] * jobs)
        stack.worker().wait_ready()
        slots, messages = _watch(stack, jobs)
        stack.wait_settled(timeout=60)

        assert stack.states() == {"succeeded": jobs}
        assert stack.sandbox.stats()["peak"] == jobs
        assert slots <= 2
        assert messages <= 2 + MESSAGES_BESIDES
        check_all(stack)


def _watch(stack: Stack, jobs: int) -> tuple[int, int]:
    """The most slots the account's pumps took, and the most messages in the broker, until every job has ended."""
    app = Celery("watch")
    app.conf.update(
        configuration(Settings(broker_url=stack.env["RECAST_BROKER_URL"], database_url="postgresql://unused"))
    )
    inspect = app.control.inspect(destination=["worker@test"], timeout=5.0)
    slots = messages = 0
    ends = time.monotonic() + LATENCY + 60
    while stack.states()["succeeded"] < jobs and time.monotonic() < ends:
        active = (inspect.active() or {}).get("worker@test", [])
        slots = max(slots, sum(_is_a_slice(task) for task in active))
        messages = max(messages, sum(stack.broker_messages().values()))
        time.sleep(LOOK_SECONDS)
    return slots, messages


def _is_a_slice(task: dict[str, Any]) -> bool:
    """Whether a task works under its pump's lease; one that finds the lease taken returns at once."""
    return task["name"] in {"submit", "poll"} and time.time() - task["time_start"] > RETURNS_AT_ONCE
