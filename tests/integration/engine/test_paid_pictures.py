"""A whole deployment whose own web is down, and whose provider's files arrive damaged: nothing is paid in vain."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from devstack.ports import pick_port
from models.states import Reason
from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, Stack, running, wait_for
from tests.words import unsaid
from workers.engine.refetch import ROUNDS
from workers.jobs.request import JobRequest

pytestmark = pytest.mark.timeout(900)

ACCOUNT = "sandbox-zhiqite"
JOBS = 12
SWAP = JobRequest(
    "swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"),
    operation="zhiqite.swap",
)  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("paid")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.2)
    settings = {"RECAST_PUBLIC_URL": f"http://127.0.0.1:{pick_port(None)}", "RECAST_PUBLIC_URL_CHECK": ""}
    with running(home, config, **settings) as stack:
        stack.only(ACCOUNT)
        stack.configure(**{ACCOUNT: {"poll_every": "0.2s"}})
        yield stack


def command(stack: Stack, *arguments: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "cli", *arguments, "--json"], cwd=stack.home, env=stack.env, capture_output=True,
        text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_web_that_is_down_keeps_jobs_queued_and_costs_nothing(stack: Stack) -> None:
    # Given jobs on local pictures, and nothing at the public URL
    stack.insert([SWAP] * JOBS, batch="links")
    stack.worker()
    stack.beat()
    seen = "SELECT closed_note FROM accounts WHERE closed_reason = 'outage' AND failures > 1"
    ((note,),) = wait_for(lambda: stack.sql(seen), message="the account is stopped")
    assert unsaid(note, "RECAST_PUBLIC_URL", stack.env["RECAST_PUBLIC_URL"]) == []
    assert stack.states() == {"queued": JOBS}
    assert stack.sandbox.bill() == []

    # When it is back, everything goes on by itself
    stack.web(int(stack.env["RECAST_PUBLIC_URL"].rpartition(":")[2]))
    assert stack.wait_settled(timeout=120) == {"succeeded": JOBS}
    assert len(stack.sandbox.bill()) == JOBS


@pytest.mark.long
def test_damaged_downloads_cost_no_paid_picture(stack: Stack) -> None:
    paid = len(stack.sandbox.bill())
    for damage in ("half", "html", "empty"):
        stack.sandbox.add_fault("damaged", damage=damage, times=JOBS)
    stack.sandbox.add_fault("expired_url", times=JOBS)
    stack.insert([SWAP] * JOBS, batch="damaged")
    stack.wait_settled(timeout=180)

    assert [tuple(row) for row in stack.sql("SELECT DISTINCT state FROM jobs")] == [("succeeded",)]
    assert len(stack.sandbox.bill()) == paid + JOBS
    check_all(stack)


@pytest.mark.long
def test_what_was_paid_and_not_obtained_is_downloaded_again_for_nothing(stack: Stack) -> None:
    stack.sandbox.clear_faults()
    stack.sandbox.add_fault("damaged", damage="noise")
    stack.insert([SWAP] * 2, batch="broken")
    stack.wait_settled(timeout=300)
    failed = stack.sql("SELECT state, reason, error FROM jobs j JOIN batches b ON b.id = j.batch_id"
                       " WHERE b.name = 'broken'")  # fmt: skip
    assert [(row.state, row.reason) for row in failed] == [("failed", "bad_output")] * 2
    assert stack.sql("SELECT max(refetches) AS most FROM attempts")[0].most == ROUNDS[Reason.BAD_OUTPUT]
    paid = len(stack.sandbox.bill())
    stack.sandbox.clear_faults()

    # When a person is about to pay again, they are told that they need not
    assert command(stack, "retry", "--batch", "broken", "--dry-run")["downloadable"] == 2
    told = subprocess.run(
        [sys.executable, "-m", "cli", "retry", "--batch", "broken", "--dry-run"], cwd=stack.home, env=stack.env,
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "recast redownload --batch broken" in told.stdout
    counted = command(stack, "redownload", "--batch", "broken", "--dry-run")
    assert (counted["jobs"], counted["done"], float(counted["cost"]["amount"])) == (2, 0, 0)
    done = command(stack, "redownload", "--batch", "broken")
    assert (done["done"], done["saving"]) == (2, 2)

    stack.wait_settled(timeout=120)
    assert [tuple(row) for row in stack.sql("SELECT DISTINCT state FROM jobs")] == [("succeeded",)]
    assert len(stack.sandbox.bill()) == paid
    check_all(stack)
