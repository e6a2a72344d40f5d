"""An operator's commands in the middle of a burst: pause, resume, live limits, cancel, books; and what they say."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, Stack, running, wait_for
from workers.jobs.request import JobRequest

SECONDS = 300.0  # for any one command, on a machine that does other things too
ACCOUNT = "sandbox-zhiqite"
SWAP = JobRequest(
    "swap", source=str(PORTRAITS / "astronaut.png"), target=str(PORTRAITS / "grace_hopper.jpg"),
    operation="zhiqite.swap",
)  # fmt: skip
JOBS = 300
SUBMIT_SECONDS = 5.0  # for an answer: so slowly that no machine gets through all jobs before the pause


class Operator:
    """Somebody who types commands at a deployment."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack

    def json(self, *arguments: str, code: int = 0) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments, "--json"], cwd=self.stack.home, env=self.stack.env,
            capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
        return json.loads(done.stdout)


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    home = tmp_path_factory.mktemp("operators")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.5)
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9", RECAST_SLICE_SECONDS="3") as stack:
        stack.only(ACCOUNT)
        stack.configure(**{ACCOUNT: {"max_in_flight": 4, "poll_every": "0.2s"}})
        yield Operator(stack)


def in_flight(stack: Stack) -> int:
    rows = stack.sql("SELECT count(*) AS n FROM attempts WHERE state IN ('sending', 'running', 'unknown')")
    return int(rows[0].n)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_burst_is_paused_widened_canceled_and_accounted_for(operator: Operator, tmp_path: Path) -> None:
    stack = operator.stack
    # Given a burst that an account takes four at a time, slowly.
    stack.sandbox.add_fault("latency", where={"call": "submit"}, seconds=SUBMIT_SECONDS, stage="after")
    stack.insert([SWAP] * JOBS)
    for name in ("one", "two"):
        stack.worker(name)
    beat = stack.beat()
    wait_for(lambda: in_flight(stack) == 4, timeout=SECONDS, message="the burst is under way")

    # When the limit is raised while it runs, the workers obey without a restart.
    changed = operator.json("accounts", "set", ACCOUNT, "max_in_flight=24")
    assert (changed["max_in_flight"], changed["overrides"]) == (24, {"max_in_flight": "24"})
    assert "@" in changed["overridden_by"]
    wait_for(lambda: in_flight(stack) > 8, timeout=SECONDS, message="more are in flight than the file allows")

    # When it is paused, the command returns when what was being sent is settled, and nothing is sent after that.
    paused = operator.json("pause", "--batch", "test")
    billed = len(stack.sandbox.bill())
    assert paused["still_being_sent"] == {}
    assert 4 < billed < JOBS, "it was paused in its middle"
    assert not stack.sql("SELECT 1 FROM attempts WHERE state = 'sending'")
    wait_for(lambda: not in_flight(stack), timeout=SECONDS, message="what was sent is finished")
    wait_for(lambda: not stack.states()["saving"], timeout=SECONDS, message="and saved")
    assert len(stack.sandbox.bill()) == billed
    assert stack.states() == {"succeeded": billed, "queued": JOBS - billed}

    # When a few are canceled meanwhile and the rest is resumed, nothing else is lost.
    keys = [row.id for row in stack.sql("SELECT id FROM jobs WHERE state = 'queued' ORDER BY id LIMIT 3")]
    assert operator.json("cancel", *keys)["done"] == 3
    assert operator.json("resume", "--batch", "test")["batches"] == 1
    stack.sandbox.clear_faults()
    stack.wait_settled(timeout=120)
    assert stack.states() == {"succeeded": JOBS - 3, "canceled": 3}
    assert len(stack.sandbox.bill()) == JOBS - 3
    check_all(stack)

    # Then the books say what the sandbox billed, and its invoice agrees, until somebody meddles with it.
    total = Decimal("0.02") * (JOBS - 3)
    (row,) = operator.json("books", "--by", "batch")["rows"]
    assert (row["batch"], Decimal(row["spent"]["amount"])) == ("test", total)
    lines = [
        {"id": line["handle"], "price": line["amount"], "day": str(datetime.fromtimestamp(line["at"], UTC))}
        for line in stack.sandbox.bill()
    ]
    words = ("--account", ACCOUNT, "--reference", "id", "--amount", "price", "--date", "day")
    whole = operator.json("reconcile", str(invoice(tmp_path / "whole.csv", lines)), *words)
    assert (whole["agreeing"], whole["differences"], Decimal(whole["billed"]["amount"])) == (JOBS - 3, [], total)
    meddled = [*lines[1:], lines[1], {**lines[2], "id": "nobody's"}]
    meddled[5] = {**meddled[5], "price": "9.99"}
    found = operator.json("reconcile", str(invoice(tmp_path / "meddled.csv", meddled)), *words, code=1)
    assert {item["kind"] for item in found["differences"]} == {"not_billed", "double", "unknown", "amount"}
    assert len(found["differences"]) == 4

    # And the doctor finds the one thing that is wrong here.
    stack.env["RECAST_PUBLIC_URL_CHECK"] = ""
    doctored = operator.json("doctor", code=4)
    states = {item["name"]: item["state"] for item in doctored["findings"]}
    assert states["public url"] == "bad", "nothing listens there"
    assert {states[name] for name in ("database", "broker", "migrations", "storage", "secret key")} == {"ok"}
    beat.terminate()


def invoice(path: Path, lines: list[dict[str, str]]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "price", "day"])
        writer.writeheader()
        writer.writerows(lines)
    return path
