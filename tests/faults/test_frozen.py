"""A worker that is frozen where it hurts most, for longer than every time-out, and wakes up into another world.

It is stopped (SIGSTOP) at a moment of a job's way while another worker goes on, and let go when all its work is done,
or has been given up, by others. What it does then must be paid by nobody, and must change nothing that is newer.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.faults.conftest import Deploy
from tests.faults.moments import MOMENTS, Hold, Moment
from tests.faults.test_network import ACCOUNTS, START_SECONDS, ask
from tests.invariants import check_all, check_idle
from tests.stack import Stack, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(1200)]

JOBS = 12
MORE = 4
SUBMIT_SECONDS = 2
#: A lost submission is judged after its time-out and 15 s, and searched for twice; a lease ends after 15 s.
SETTLE_SECONDS = 90.0
LIMITS = {"submit_timeout": f"{SUBMIT_SECONDS}s", "poll_every": "0.2s"}

#: Where it is frozen, and the pump that is held there.
FROZEN_AT = {"claimed": "submit", "committed": "submit", "answered": "submit", "found": "poll", "stored": "store"}


@contextmanager
def frozen(pid: int) -> Iterator[None]:
    """The process stands still, threads and all."""
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_for(lambda: Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("moment", [moment for moment in MOMENTS if moment.name in FROZEN_AT], ids=lambda m: m.name)
def test_frozen_worker(deploy: Deploy, tmp_path: Path, moment: Moment) -> None:
    # A provider that bills a reference again shows a submission that was sent twice.
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.3, duplicates="bill")
    with deploy(config) as stack:
        # Given a worker that has come to the moment
        stack.only(*ACCOUNTS)
        stack.configure(**dict.fromkeys(ACCOUNTS, LIMITS))
        stack.insert([ask(number) for number in range(JOBS)], batch="before")
        hold = Hold(stack, moment)
        stack.beat()
        sleeper = stack.worker("sleeper", **hold.settings())
        hold.wait()

        # When it freezes there, and another one goes on until nothing is left to do
        with frozen(sleeper.pid):
            hold.let_go()
            stack.worker("other")
            stack.wait_settled(timeout=SETTLE_SECONDS)
            before = snapshot(stack)
            said = len(sleeper.log.read_bytes())
        # Then what it was doing ends, now that it is awake
        ended = re.compile(rb"Task %s\[[^]]*\] (succeeded|retry)" % FROZEN_AT[moment.name].encode())
        wait_for(
            lambda: ended.search(sleeper.log.read_bytes()[said:]),
            timeout=START_SECONDS,
            message="the sleeper's task ends",
        )
        # and new work is done
        stack.insert([ask(number) for number in range(MORE)], batch="after")
        wait_for(
            lambda: stack.states()["succeeded"] == JOBS + MORE, timeout=SETTLE_SECONDS, message="all jobs are done"
        )
        # and nothing has changed of what others had brought to its end: only what nobody could tell, it could
        after = snapshot(stack)
        assert {job: after[job] for job in before if before[job].state != "held"} == {
            job: row for job, row in before.items() if row.state != "held"
        }
        # and every job was paid for once
        assert len(stack.sandbox.bill()) == JOBS + MORE
        check_all(stack)
        check_idle(stack)


def snapshot(stack: Stack) -> dict[str, Any]:
    """What became of each job: its state, its attempts and its pictures."""
    rows = stack.sql(
        "SELECT j.id, j.state, j.finished_at, array_agg(DISTINCT a.id::text || a.state || coalesce(a.handle, '')) AS a,"
        " array_agg(DISTINCT r.key) AS pictures FROM jobs j LEFT JOIN attempts a ON a.job_id = j.id"
        " LEFT JOIN results r ON r.job_id = j.id GROUP BY j.id"
    )
    return {row.id: row for row in rows}
