"""A deployment whose database is replaced by a backup from the middle of its work, older than the providers' bills."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, text

from models.tables import metadata
from sandbox import SandboxConfig
from tests.invariants import check_all
from tests.stack import PORTRAITS, ROOT, Stack, running, wait_for
from workers.jobs.request import JobRequest

pytestmark = [pytest.mark.faults, pytest.mark.matrix, pytest.mark.timeout(1800)]

SWAP = JobRequest(
    kind="swap", source=str(PORTRAITS / "grace_hopper.jpg"), target=str(PORTRAITS / "together.jpg"),
    account="sandbox-zhiqite",
)  # fmt: skip
PORTRAIT = JobRequest(
    kind="generate", image=str(PORTRAITS / "grace_hopper.jpg"), prompt="x", operation="qolaba.consistency",
    options={"width": 256, "height": 256},
)  # fmt: skip


def backup(engine: Engine) -> dict[str, bytes]:
    """All rows as they stand at one moment, as pg_dump reads them, while the workers go on."""
    kept = {}
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        driver: Any = connection.connection.driver_connection
        for table in metadata.sorted_tables:
            with driver.cursor().copy(f'COPY "{table.name}" TO STDOUT') as copy:
                kept[table.name] = b"".join(bytes(part) for part in copy)
    return kept


def bring_back(engine: Engine, kept: Mapping[str, bytes]) -> None:
    """Replace all rows."""
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        connection.execute(text(f"TRUNCATE {', '.join(kept)}"))
        for name, rows in kept.items():
            with driver.cursor().copy(f'COPY "{name}" FROM STDIN') as copy:
                copy.write(rows)


def recast(stack: Stack, *arguments: str) -> tuple[int, Any, str]:
    """A command's exit code, its JSON, and what it said on standard error."""
    command = [sys.executable, "-m", "cli", *arguments, "--json"]
    ended = subprocess.run(command, cwd=ROOT, env=stack.env, capture_output=True, text=True, timeout=300, check=False)
    return ended.returncode, json.loads(ended.stdout) if ended.stdout else None, ended.stderr


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    config = SandboxConfig(home=tmp_path / "sandbox", pictures="cheap", latency=0.4)
    with running(tmp_path, config, RECAST_PUBLIC_URL="http://127.0.0.1:9") as made:
        made.only("sandbox-zhiqite", "sandbox-qolaba")
        limits = {"max_in_flight": 3, "submit_timeout": "2s", "deadline": "40s"}
        made.configure(**{"sandbox-zhiqite": limits, "sandbox-qolaba": limits})
        yield made


def lines(stack: Stack, provider: str) -> list[Any]:
    return [line for line in stack.sandbox.bill() if line["provider"] == provider]


def test_what_was_paid_after_the_backup_is_found_or_held(stack: Stack) -> None:
    # Given a backup in the middle of two batches, after which some jobs are done and some fail and are sent again
    swaps, portraits = 18, 8
    stack.insert([SWAP] * swaps, "swaps")
    stack.insert([PORTRAIT] * portraits, "portraits")
    worker = stack.worker("before")
    stack.beat()
    wait_for(
        lambda: stack.states()["succeeded"] >= 5 and stack.states()["running"] >= 2,
        timeout=120,
        message="jobs are at work",
    )
    kept = backup(stack.engine)
    stack.sandbox.add_fault("fail", where={"provider": "zhiqite"}, times=2)
    before = len(stack.sandbox.bill())
    wait_for(lambda: stack.states()["queued"] <= 7, timeout=120, message="more was paid")
    worker.kill(signal.SIGTERM)
    for process in stack._others:
        process.kill()
    paid = {provider: {line["handle"] for line in lines(stack, provider)} for provider in ("zhiqite", "qolaba")}
    assert len(stack.sandbox.bill()) > before

    # When the backup is restored and that is said
    bring_back(stack.engine, kept)
    open_jobs = {row.id for row in stack.sql("SELECT id FROM jobs WHERE state IN ('queued', 'running')")}
    queued_portraits = {
        row.id for row in stack.sql("SELECT id FROM jobs WHERE state = 'queued' AND id LIKE 'portraits%'")
    }
    code, _, said = recast(stack, "db", "restored")
    assert code == 2, said
    assert "other connections" in said, "this test's own is open"
    stack.engine.dispose()
    assert recast(stack, "db", "restored", "--dry-run")[1]["jobs"] == len(open_jobs)
    assert stack.states()["held"] == 0
    stack.engine.dispose()
    code, told, _ = recast(stack, "db", "restored")
    assert (code, told["jobs"]) == (0, len(open_jobs))
    assert told["asked"] == {"sandbox-qolaba": sum(job.startswith("portraits") for job in open_jobs)}
    assert {row.id for row in stack.sql("SELECT id FROM jobs WHERE state = 'held'")} == open_jobs
    stack.engine.dispose()
    assert recast(stack, "db", "restored")[1]["jobs"] == 0, "a second time there is nothing to hold"

    # Then the workers find what can be found, send what was never sent, and nothing else
    stack.worker("after")
    stack.beat()
    wait_for(
        lambda: {row.id for row in stack.sql("SELECT id FROM jobs WHERE state <> 'succeeded'")} == queued_portraits,
        timeout=180, message="all but the jobs that only a person can tell of have succeeded",
    )  # fmt: skip
    assert paid["qolaba"] == {line["handle"] for line in lines(stack, "qolaba")}
    swaps_paid = lines(stack, "zhiqite")
    assert paid["zhiqite"] <= {line["handle"] for line in swaps_paid}
    assert len(swaps_paid) == swaps + 2, "each once, and twice what had failed"
    booked = stack.sql("SELECT handle FROM attempts WHERE account = 'sandbox-zhiqite' AND accepted_at IS NOT NULL")
    assert Counter(row.handle for row in booked) == Counter(line["handle"] for line in swaps_paid)

    # And a person's word lets the others go on
    _, listed, _ = recast(stack, "resolve")
    assert {job["job_id"] for job in listed["jobs"]} == queued_portraits
    known = {row.handle for row in stack.sql("SELECT handle FROM attempts WHERE account = 'sandbox-qolaba'")}
    sent = sorted(paid["qolaba"] - known)
    for job, handle in zip(sorted(queued_portraits), sent, strict=False):
        assert recast(stack, "resolve", job, "--accepted", handle)[0] == 0
    assert recast(stack, "resolve", "--account", "sandbox-qolaba", "--not-accepted")[0] == 0
    assert stack.wait_settled(timeout=180) == Counter({"succeeded": swaps + portraits})
    assert len(lines(stack, "qolaba")) == portraits, "each once"
    check_all(stack)
