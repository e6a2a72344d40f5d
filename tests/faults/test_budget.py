"""A budget is exact with everything real: fifty producers, four workers, and a provider that turns some away."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, ROOT, Stack, Worker, running, wait_for
from tests.words import unsaid
from workers.accounts import budget

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(1800)]

PROCESSES, THREADS, EACH = 5, 10, 3  # producers: fifty at once, of three jobs each
JOBS = PROCESSES * THREADS * EACH
AFFORDABLE = 100
PRICE = Decimal("0.02")
START_SECONDS = 120.0  # of four workers, and of five processes of producers, on a busy machine
SETTLE_SECONDS = 90.0

#: A process of producers: each thread is one, and they begin at the same time.
PRODUCERS = f"""
import threading
from recast import swap
pair = dict(source={str(PORTRAITS / "astronaut.png")!r}, target={str(PORTRAITS / "grace_hopper.jpg")!r})
together = threading.Barrier({THREADS})
def produce():
    together.wait()
    for _ in range({EACH}):
        swap.apply_async(kwargs=pair, ignore_result=True)
threads = [threading.Thread(target=produce) for _ in range({THREADS})]
for thread in threads: thread.start()
for thread in threads: thread.join()
"""


def test_a_hundred_submissions_are_paid_and_not_one_more(tmp_path: Path) -> None:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.3, duplicates="bill")
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack:
        # Given a month's budget for a hundred submissions, four workers, and a provider that throttles now and then:
        # what it does not take is given back, and must not be given back twice
        stack.only("sandbox-zhiqite")
        stack.configure(
            **{"sandbox-zhiqite": {"budget": {"month": f"{AFFORDABLE * PRICE} USD"}, "operations": ["swap"]}}
        )
        stack.sandbox.add_fault("throttle", where={"call": "submit"}, probability=0.2, times=15, retry_after=0, seed=1)
        stack.beat()
        workers = [stack.worker(f"worker-{number}") for number in range(4)]
        wait_for(lambda: all(map(ready, workers)), timeout=START_SECONDS, message="four workers are ready")

        # When fifty producers ask for half as many again
        producers = [
            subprocess.Popen([sys.executable, "-c", PRODUCERS], cwd=ROOT, env=stack.env) for _ in range(PROCESSES)
        ]
        assert [producer.wait(START_SECONDS) for producer in producers] == [0] * PROCESSES
        wait_for(lambda: sum(stack.states().values()) == JOBS, timeout=90, message="all tasks are jobs")
        wait_for(lambda: paid(stack), timeout=SETTLE_SECONDS, message="what can be paid is done")

        # Then exactly a hundred are on the bill and in the books, and the others wait at a stopped account
        assert stack.states() == {"succeeded": AFFORDABLE, "queued": JOBS - AFFORDABLE}
        assert len(stack.sandbox.bill()) == AFFORDABLE
        (month,) = stack.sql("SELECT amount FROM spend WHERE period LIKE 'month:%'")
        assert month.amount == AFFORDABLE * PRICE
        (row,) = stack.sql("SELECT *, extract(epoch FROM closed_until - now())::float8 AS left, now() FROM accounts")
        assert (row.closed_reason, unsaid(row.closed_note, "2.00 USD", "month")) == ("budget", [])
        assert row.left == pytest.approx(budget.seconds_left("month", row.now), abs=5)
        check_all(stack)

        # and with more money they go
        more = ["accounts", "set", "sandbox-zhiqite", "budget.month=10 USD"]
        subprocess.run([sys.executable, "-m", "cli", *more], cwd=ROOT, env=stack.env, check=True)
        assert stack.wait_settled(timeout=SETTLE_SECONDS) == {"succeeded": JOBS}
        assert len(stack.sandbox.bill()) == JOBS
        check_all(stack)


def ready(worker: Worker) -> bool:
    return b"ready." in worker.log.read_bytes()


def paid(stack: Stack) -> bool:
    """Whether the account is stopped for the budget and nothing is under way; never more than the budget is billed."""
    assert len(stack.sandbox.bill()) <= AFFORDABLE
    (row,) = stack.sql("SELECT closed_reason, closed_until > now() + interval '1 minute' AS lasting FROM accounts")
    states = stack.states()
    return bool(row.closed_reason == "budget" and row.lasting and not states["running"] + states["saving"])
