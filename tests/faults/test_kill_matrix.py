"""Whatever is killed at whatever moment, nothing is lost, nothing is paid twice, and work goes on.

Each cell is a small deployment with one account that can be searched for lost submissions (Zhiqite) and one that cannot
(Qolaba), a dozen bulk jobs and two tasks that producers wait for. A worker is brought to the moment, the victim is
killed there and comes back. Then every job ends or is held, held ones are resolved by what the bill says, and the books
are held against the bill.
"""

from __future__ import annotations

import uuid
from contextlib import closing
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.faults.conftest import Deploy
from tests.faults.moments import BEGIN_SECONDS, CALL_SECONDS, MOMENTS, Hold, Moment
from tests.faults.person import resolve_by_the_bill
from tests.faults.producers import Producers
from tests.faults.victims import VICTIMS, Deployment
from tests.invariants import check_all, check_idle
from tests.stack import PORTRAITS, Stack, wait_for
from workers.jobs import request

pytestmark = pytest.mark.faults

BULK = 12  # half of them swaps, half portraits
GOES_ON_SECONDS = 30.0  # until new work is done after the return of what was killed
SETTLE_SECONDS = 90.0  # a postponed download waits 20 s, a lost submission is judged after some 20 s and looked for
SOURCE, TARGET = str(PORTRAITS / "astronaut.png"), str(PORTRAITS / "grace_hopper.jpg")
LIMITS = {"submit_timeout": f"{CALL_SECONDS + 1:g}s", "poll_every": "0.2s"}

#: Cells that run with all other tests: every moment once, and every victim. `make faults` runs the whole matrix.
ALWAYS = {
    ("committed", "worker-killed"),
    ("sending", "worker-stopped"),
    ("found", "beat-killed"),
    ("recorded", "beat-stopped"),
    ("ended", "valkey-killed"),
    ("announced", "valkey-stopped"),
    ("stored", "valkey-flushed"),
    ("answered", "postgres-killed"),
    ("claimed", "postgres-stopped"),
    ("downloading", "sandbox-killed"),
    ("polling", "sandbox-stopped"),
}


def cells() -> list[Any]:
    """Every moment with every victim."""
    return [
        pytest.param(
            moment,
            victim,
            id=f"{victim}-{moment.name}",
            marks=() if (moment.name, victim) in ALWAYS else pytest.mark.matrix,
        )
        for victim in VICTIMS
        for moment in MOMENTS
    ]


@pytest.mark.parametrize(("moment", "name"), cells())
def test_kill(deploy: Deploy, tmp_path: Any, moment: Moment, name: str) -> None:
    victim = VICTIMS[name]
    # A provider that bills a reference again shows a submission that was sent twice.
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.5, duplicates="bill")
    with deploy(config) as stack, closing(Producers(stack)) as producers:
        # Given jobs and waiting producers, and a worker that is held at the moment
        stack.only("sandbox-zhiqite", "sandbox-qolaba")
        stack.configure(**{"sandbox-zhiqite": LIMITS, "sandbox-qolaba": LIMITS})
        stack.insert([ask(number) for number in range(BULK)], batch="before")
        producers.send("swap", source=SOURCE, target=TARGET)
        producers.send("generate", image=SOURCE, prompt="a producer's", options={"width": 256, "height": 256})
        hold = Hold(stack, moment)
        beat = stack.beat()
        cell = Deployment(stack, stack.worker(**hold.settings()), beat)
        wait_for(
            lambda: stack.sql("SELECT 1 FROM announcements OFFSET 1"),
            timeout=BEGIN_SECONDS,
            message="both tasks are accepted",
        )
        hold.wait()
        settled = {row.id for row in stack.sql("SELECT id FROM attempts WHERE state <> 'sending'")}

        # When the victim is killed there, and comes back
        victim.strike(cell)
        hold.let_go()
        victim.bring_back(cell)
        hold.quicken()
        open_sends = {row.id for row in stack.sql("SELECT id FROM attempts")} - settled

        # Then work goes on
        stack.insert([ask(number) for number in range(2)], batch="after")
        wait_for(lambda: done(stack, "after") == 2, timeout=GOES_ON_SECONDS, message="new work is done")
        # and every job ends, or is held because its submission was open and its provider cannot be searched
        states = stack.wait_settled(timeout=SETTLE_SECONDS)
        assert states.keys() <= ({"succeeded", "held"} if victim.may_hold else {"succeeded"})
        assert sum(states.values()) == BULK + 4
        lost = stack.sql("SELECT a.id, a.account FROM attempts a JOIN jobs j ON j.id = a.job_id WHERE j.state = 'held'")
        assert {row.id for row in lost} <= open_sends
        assert {row.account for row in lost} <= {"sandbox-qolaba"}
        check_all(stack)
        # and with the bill in hand the held ones end as well
        resolve_by_the_bill(stack)
        assert stack.wait_settled() == {"succeeded": BULK + 4}
        check_all(stack)
        check_idle(stack)
        for job_id in producers.results:
            assert producers.get(job_id)["job"] == job_id


def ask(number: int) -> request.JobRequest:
    if number % 2:
        return request.JobRequest("swap", source=SOURCE, target=TARGET)
    options = {"width": 256, "height": 256}
    return request.JobRequest("generate", image=SOURCE, prompt=f"portrait {uuid.uuid4()}", options=options)


def done(stack: Stack, batch: str) -> int:
    """How many jobs of a batch have succeeded."""
    (row,) = stack.sql("SELECT succeeded FROM batches WHERE name = :name", name=batch)
    return int(row.succeeded)
