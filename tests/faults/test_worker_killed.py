"""The whole worker is killed in the middle of a run: nothing is lost, and nothing is paid twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, running, wait_for
from workers.jobs import request

JOBS = 500
SOURCE, TARGET = str(PORTRAITS / "astronaut.png"), str(PORTRAITS / "grace_hopper.jpg")


@pytest.mark.long
def test_sigkill_in_the_middle_of_a_run(tmp_path: Path) -> None:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=1.0)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack:
        # Given an account that can be searched for lost submissions and one that cannot, both slow to answer
        quick = {"submit_timeout": "3s", "max_in_flight": 40, "poll_every": "0.2s"}
        stack.only("sandbox-zhiqite", "sandbox-qolaba")
        # (what is held keeps its place in flight until its deadline: all 40 may be on their way at the kill)
        stack.configure(**{"sandbox-zhiqite": quick, "sandbox-qolaba": {**quick, "deadline": "30s"}})
        stack.sandbox.add_fault("latency", where={"call": "submit"}, seconds=0.5)
        stack.insert(
            [
                request.JobRequest("swap", source=SOURCE, target=TARGET)
                if number % 2
                else request.JobRequest("generate", image=SOURCE, prompt="a pilot", options={"batch": 2})
                for number in range(JOBS)
            ]
        )
        stack.beat()
        worker = stack.worker()

        # When the worker is killed while submissions, polls and downloads are under way
        wait_for(lambda: stack.states()["succeeded"] > JOBS // 10, message="a tenth is done")
        wait_for(lambda: len(_sending(stack)) > 5, message="submissions are open")
        worker.kill()
        open_sends = _sending(stack)
        worker.start()

        # Then every job ends, or is held
        states = stack.wait_settled(timeout=150)
        assert sum(states.values()) == JOBS
        assert states["succeeded"] + states["held"] == JOBS
        # and held are at most those that were being sent, at the account that cannot be searched
        held = stack.sql("SELECT a.id, a.account FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE j.state = 'held'")
        assert {row.id for row in held} <= open_sends
        assert {row.account for row in held} <= {"sandbox-qolaba"}
        check_all(stack)


def _sending(stack: object) -> set[object]:
    return {row.id for row in stack.sql("SELECT id FROM attempts WHERE state = 'sending'")}  # type: ignore[attr-defined]
