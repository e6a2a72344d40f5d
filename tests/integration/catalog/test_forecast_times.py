"""What a dry run says of cost and time, against what came of it.

`make long` runs it with a few jobs, of which the time is only bounded; `make forecast` with five thousand.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from recast.money import Money
from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import Stack, running
from tests.unit.catalog import catalogs
from tests.words import unsaid

SECONDS = 900.0
TOLERANCE = 0.2  # by how much the time may differ


@dataclass(frozen=True)
class Outcome:
    """What was foretold of a run, and what came."""

    plan: Any
    done: Any
    seconds: float


class Desk:
    """A deployment with accounts of mixed limits, which have learned how long their providers take."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        catalogs.picture(stack.home / "a.png", side=64)
        catalogs.picture(stack.home / "b.png", side=64)

    def recast(self, *arguments: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments],
            cwd=self.stack.home, env=self.stack.env, capture_output=True, text=True, timeout=SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def catalog(self, name: str, swaps: int, portraits: int) -> Path:
        rows = [catalogs.swap(f"s{number}", operation="zhiqite.swap") for number in range(swaps)]
        options = '{"width": 256, "height": 256, "batch": 2}'
        rows += [
            catalogs.portrait(f"p{number}", operation="qolaba.consistency", options=options)
            for number in range(portraits)
        ]
        return catalogs.write_csv(self.stack.home / f"{name}.csv", rows)

    def run(self, name: str, swaps: int, portraits: int) -> Outcome:
        """Foretell, then run and wait."""
        path = str(self.catalog(name, swaps, portraits))
        plan = json.loads(self.recast("run", path, "--dry-run", "--json"))
        done = json.loads(self.recast("run", path, "--json"))
        (times,) = self.stack.sql(
            "SELECT extract(epoch FROM max(j.finished_at) - min(j.created_at))::float8 AS seconds FROM jobs j"
            " JOIN batches b ON b.id = j.batch_id WHERE b.name = :name", name=name
        )  # fmt: skip
        return Outcome(plan, done, times.seconds)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    home = tmp_path_factory.mktemp("forecast")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=1.5, latencies={"qolaba": 2.5}, spread=0.2)
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack:
        stack.only("sandbox-zhiqite", "sandbox-qolaba")
        # One that is bound by its rate, one of the same provider by its places, and one by its places alone.
        second = {**stack.accounts["sandbox-zhiqite"], "access_key_id": "sandbox-second"}
        stack.accounts["second-zhiqite"] = {**second, "max_in_flight": 15, "poll_every": "0.5s"}
        stack.configure(
            **{
                "sandbox-zhiqite": {"max_in_flight": 100, "rate": "10/s", "poll_every": "0.5s"},
                "sandbox-qolaba": {"max_in_flight": 30, "poll_every": "0.5s"},
            }
        )
        desk = Desk(stack)
        stack.worker().wait_ready()
        # A first run teaches the accounts; what they learn is kept at the end of a slice.
        desk.recast("run", str(desk.catalog("first", 60, 40)), "--json")
        yield desk


def cost_is_exact(desk: Desk, found: Outcome, swaps: int, portraits: int) -> None:
    assert found.done["states"]["succeeded"] == swaps + portraits
    cost = swaps * Decimal("0.02") + portraits * 2 * Decimal("0.03")
    assert Money.read(found.plan["cost"]["cheapest"]) == Money.read(found.plan["cost"]["dearest"]) == Money(cost, "USD")
    assert Money.read(found.done["spent"]) == Money(cost, "USD")
    check_all(desk.stack)


@pytest.mark.long
def test_the_cost_is_exact_and_no_limit_is_forgotten(desk: Desk) -> None:
    found = desk.run("small", 120, 60)
    cost_is_exact(desk, found, 120, 60)
    assert {part["account"] for part in found.plan["parts"]} == {"sandbox-zhiqite", "second-zhiqite", "sandbox-qolaba"}
    assert found.plan["bounds"] == {
        "sandbox-zhiqite": "rate", "second-zhiqite": "in flight", "sandbox-qolaba": "in flight",
    }  # fmt: skip
    # A busy machine may take longer; nothing can be much faster than the limits.
    assert found.plan["seconds"] / 2 < found.seconds < 10 * found.plan["seconds"]


@pytest.mark.long
def test_a_plan_tells_what_was_done_before(desk: Desk) -> None:
    # Given the first run, which made 60 swaps and 40 portraits
    told = desk.recast("run", str(desk.catalog("first", 62, 1)), "--dry-run")
    assert unsaid(told, "2", "new", "61") == []
    (part,) = [line for line in told.splitlines() if "zhiqite.swap" in line and "sandbox-zhiqite" in line]
    assert unsaid(part, "rate") == []
    assert unsaid(told, "0.04 USD") == []


@pytest.mark.long
def test_what_costs_more_than_was_agreed_wants_a_word(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(desk.stack.env, "RECAST_CONFIRM_ABOVE", "0.05")
    path = str(desk.catalog("dear", 3, 0))
    told = desk.recast("run", path, "--no-wait", code=3)
    assert unsaid(told, "3", "0.12 USD", "RECAST_CONFIRM_ABOVE=0.05") == []
    assert unsaid(told, f"recast run {path} --yes") == []
    assert desk.stack.sql("SELECT 1 FROM batches WHERE name = 'dear'") == []
    desk.recast("run", path, "--yes", "--no-wait")
    # What costs nothing any more is not asked about.
    desk.recast("run", path, "--no-wait")


@pytest.mark.forecast
@pytest.mark.timeout(1800)
def test_five_thousand_jobs_cost_and_take_what_was_foretold(desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
    found = desk.run("large", 3_200, 1_800)
    with capsys.disabled():
        print(f"foretold {found.plan['seconds']} s, took {found.seconds:.1f} s")  # noqa: T201
    cost_is_exact(desk, found, 3_200, 1_800)
    assert abs(found.seconds / found.plan["seconds"] - 1) <= TOLERANCE
