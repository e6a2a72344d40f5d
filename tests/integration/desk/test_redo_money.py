"""Redos by command in a deployment with workers: the bill, the books and the cost of an approved picture agree."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from sandbox import SandboxConfig
from tests.bill import read_bill
from tests.invariants import check_all
from tests.stack import PORTRAITS, ROOT, Stack, running, wait_for
from workers.jobs.request import JobRequest

pytestmark = pytest.mark.long


@pytest.fixture
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Two accounts at one provider, a worker and a beat."""
    home = tmp_path_factory.mktemp("redos")
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.1)
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as stack:
        stack.only("sandbox-zhiqite")
        second = dict(stack.accounts["sandbox-zhiqite"])
        stack.configure(**{"sandbox-zhiqite": {"poll_every": "0.2s"}})
        stack.accounts["second"] = {**second, "poll_every": "0.2s"}
        stack.configure()
        stack.beat()
        stack.worker().wait_ready()
        yield stack


def recast(stack: Stack, *words: str) -> Any:
    command = [sys.executable, "-m", "cli", *words, "--json"]
    done = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr.decode() + done.stdout.decode()
    return json.loads(done.stdout)


def picture_of(stack: Stack, key: str) -> tuple[str, list[str]]:
    shown = recast(stack, "show", f"test/{key}")
    version = shown["job"]["version"]
    return shown["job"]["state"], [each["sha256"] for each in shown["results"] if each["version"] == version]


def test_what_redos_cost_is_what_the_bill_says(stack: Stack) -> None:
    asks = [
        JobRequest("swap", source="https://example.com/a.png", target=f"https://example.com/{number}.png",
                   account="sandbox-zhiqite")
        for number in range(3)
    ]  # fmt: skip
    stack.insert(asks)
    assert stack.wait_settled() == {"succeeded": 3}
    recast(stack, "verdict", "test/0", "needs-work", "--reason", "hair")
    for key in "12":
        recast(stack, "verdict", f"test/{key}", "approve")
    before = picture_of(stack, "0")

    stack.sandbox.add_fault("fail", error="internal", times=2, where={"provider": "zhiqite"})
    first = recast(stack, "redo", "test", "--reason", "hair", "--yes")
    assert (first["jobs"], first["done"]) == (1, 1)
    stack.wait_settled()
    assert picture_of(stack, "0") == before, "a redo that fails leaves what there was"
    assert recast(stack, "review", "test")["review"]["needs_work"] == 1
    check_all(stack)

    second = recast(stack, "redo", "test", "0", "--to", "second", "--max-cost", first["at_most"]["amount"], "--yes")
    assert second["lines"][0]["account"] == "second"
    stack.wait_settled()
    assert picture_of(stack, "0")[0] == "succeeded"
    recast(stack, "verdict", "test/0", "approve")
    check_all(stack)

    accounts = [
        row.account for row in stack.sql("SELECT account FROM attempts WHERE job_id = 'test-0' ORDER BY number")
    ]
    assert accounts[0] == "sandbox-zhiqite"
    assert accounts[-1] == "second"
    billed = sum((line.amount for line in read_bill(stack).lines), Decimal(0))
    price = Decimal(first["cost"]["amount"])
    assert billed == price * (3 + len(accounts) - 1), "each attempt, those that failed as well"
    review = recast(stack, "review", "test")["review"]
    assert review["approved"] == 3
    assert Decimal(review["per_approved"]["amount"]) == (billed / 3).quantize(Decimal("0.0001"))


def test_what_is_redone_by_itself_is_billed_within_its_limit(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("flags")
    # Its pictures have no face, so that each is flagged, and flagged again.
    config = SandboxConfig(home=home / "sandbox", pictures="cheap", latency=0.1)
    with running(home, config, RECAST_PUBLIC_URL="http://127.0.0.1:9", RECAST_CHECKS="on") as stack:
        stack.only("sandbox-zhiqite")
        stack.configure(**{"sandbox-zhiqite": {"poll_every": "0.2s"}})
        picture = home / "target.png"
        picture.write_bytes((PORTRAITS / "astronaut.png").read_bytes())
        catalog = home / "spring.csv"
        lines = [f"{number},swap,{picture},{picture},zhiqite.swap" for number in range(3)]
        catalog.write_text("\n".join(["key,kind,source,target,operation", *lines]))
        words = ["--redo-flagged", "no_face", "--redo-flagged", "blank", "--redo-each", "2", "--same-picture"]
        planned = recast(stack, "run", str(catalog), *words, "--redo-cap", "100", "--dry-run")
        price = Decimal(planned["cost"]["dearest"]["amount"]) / 3
        paid = (Decimal(planned["cost"]["at_most"]["amount"]) - 100) / (3 * price)
        limit = 5 * price * paid
        stack.beat()
        stack.worker().wait_ready()
        recast(stack, "run", str(catalog), *words, "--redo-cap", str(limit), "--yes", "--no-wait")

        def ended() -> bool:
            waiting = stack.sql(
                "SELECT 1 FROM jobs WHERE state IN ('queued', 'running', 'saving')"
                " UNION ALL SELECT 1 FROM due_redos UNION ALL SELECT 1 FROM due_checks"
            )
            return not waiting and len(stack.sql("SELECT 1 FROM redos")) >= 5

        wait_for(ended, timeout=120, message="every flag is decided about")
        rows = stack.sql("SELECT job_id, count(*) AS times FROM redos GROUP BY job_id")
        times = {row.job_id: row.times for row in rows}
        assert set(times.values()) <= {1, 2}
        billed = sum((line.amount for line in read_bill(stack).lines), Decimal(0))
        assert billed == price * (3 + sum(times.values()))
        assert billed <= 3 * price * paid + limit
        check_all(stack)
