"""Everything is away for longer than a job's deadline, and the provider finishes the job meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, running, wait_for
from workers.jobs import request

JOBS = 12
SILENT = 3  # looks of each job that nobody answers
SWAP = request.JobRequest("swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"))


@pytest.mark.long
def test_no_job_is_given_up_before_its_provider_has_answered(tmp_path: Path) -> None:
    # Given jobs that were taken, and no worker until every deadline has passed
    with running(tmp_path, SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=4.0)) as stack:
        stack.only("sandbox-zhiqite")
        stack.configure(**{"sandbox-zhiqite": {"max_in_flight": JOBS, "deadline": "5s", "submit_timeout": "5s"}})
        stack.insert([SWAP] * JOBS)
        stack.beat()
        worker = stack.worker("before")
        accepted = "SELECT count(*) FROM attempts WHERE accepted_at IS NOT NULL"
        wait_for(lambda: stack.sql(accepted)[0][0] == JOBS, message="every job is accepted")
        worker.kill()
        left = stack.sql("SELECT count(*) FROM jobs WHERE state = 'running'")[0][0]
        late = "SELECT bool_and(deadline_at < clock_timestamp()) FROM attempts"
        wait_for(lambda: stack.sql(late)[0][0], message="every deadline has passed")

        # When workers are back before the network is
        stack.sandbox.add_fault("reset", where={"call": "poll"}, stage="before", times=SILENT * left)
        stack.worker("after")

        # Then each job is asked for until there is an answer, and none was given up in between
        assert stack.wait_settled(timeout=120) == {"succeeded": JOBS}
        assert left, "some were under way"
        assert {row.reason for row in stack.sql("SELECT reason FROM attempts")} == {None}
        check_all(stack)
