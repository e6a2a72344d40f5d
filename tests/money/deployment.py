"""A deployment in which one case after another is run as a person runs a catalog, and its books are read."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from PIL import Image

from devstack.ports import pick_port
from sandbox import SandboxConfig
from tests.bill import read_bill
from tests.chaos.load import HEIGHT, OPERATIONS, SIDE
from tests.chaos.soak import WORK_LEFT
from tests.faults.person import open_accounts, resolve_by_the_bill
from tests.invariants import RESTLESS, wrongs
from tests.money.books import Books
from tests.money.cases import rules
from tests.stack import ROOT, Stack, crowding, running

SETTLE_SECONDS = 240.0  # for one case on an idle machine
LOOK_SECONDS = 0.5
LIMITS: dict[str, Any] = {"submit_timeout": "3s", "poll_every": "0.7s", "deadline": "25s", "max_in_flight": 200}

COLUMNS = ("key", "kind", "source", "target", "image", "prompt", "operation", "options")


@contextmanager
def deployed(home: Path) -> Iterator[Deployment]:
    """Run everything in `home`: servers, the sandbox, two workers, beat and web."""
    port = pick_port(None)
    config = SandboxConfig(
        home=home / "sandbox", pictures="cheap", latency=1.0, spread=0.3, inbox_gap=0.5, callback_scale=0.05
    )
    with running(home, config, RECAST_PUBLIC_URL=f"http://127.0.0.1:{port}") as stack:
        stack.configure(**dict.fromkeys(stack.accounts, LIMITS))
        stack.beat()
        stack.web(port)
        for name in ("one", "two"):
            stack.worker(name).wait_ready()
        yield Deployment(stack)


class Deployment:
    """Everything that a case needs."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._picture = stack.home / "picture.jpg"
        Image.new("RGB", (SIDE, HEIGHT), "grey").save(self._picture)
        self._known: set[str] = set()

    def run(self, case: str, jobs: int) -> Books:
        """Run `jobs` jobs of every operation under the faults of `case`, until nothing is left to do."""
        stack, catalog = self._stack, self._catalog(case, jobs)
        billed, denied = self._billed()
        planned = self._recast("run", str(catalog), "--dry-run")
        for rule in rules(case):
            stack.sandbox.add_fault(**rule)
        self._recast("run", str(catalog), "--yes", "--no-wait")
        self._settle(WORK_LEFT)
        fired = sum(rule["fired"] for rule in stack.sandbox.faults())
        stack.sandbox.clear_faults()
        while stack.states()["held"]:
            resolve_by_the_bill(stack)
            self._settle(WORK_LEFT)
        self._settle({**WORK_LEFT, **RESTLESS})
        return self._books(case, fired, Decimal(planned["cost"]["at_most"]["amount"]), billed, denied)

    def _catalog(self, case: str, jobs: int) -> Path:
        path = self._stack.home / f"{case}.csv"
        names = sorted(name for name in OPERATIONS if not name.startswith("any"))
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            for number in range(jobs):
                writer.writerow(self._row(names[number % len(names)], f"{case}-{number}"))
        return path

    def _row(self, operation: str, key: str) -> dict[str, str]:
        picture = str(self._picture)
        given = OPERATIONS[operation](f"portrait {key}", picture)
        options = json.dumps(given.get("options", {}))
        row = {"key": key, "operation": operation, "options": options}
        if "prompt" in given or operation == "hidream.variation":
            return {**row, "kind": "generate", "image": picture, "prompt": given.get("prompt", "")}
        return {**row, "kind": "swap", "source": picture, "target": picture}

    def _recast(self, *arguments: str) -> dict[str, Any]:
        """The JSON that a command prints."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", *arguments, "--json"],
            cwd=ROOT, env=self._stack.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise AssertionError(f"recast {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        document: dict[str, Any] = json.loads(done.stdout)
        return document

    def _settle(self, left: dict[str, str]) -> None:
        """Wait until none of these queries finds anything, and start stopped accounts meanwhile as a person would."""
        began = time.monotonic()
        while any(map(self._stack.sql, left.values())):
            open_accounts(self._stack)
            if time.monotonic() - began > SETTLE_SECONDS * crowding():
                return  # the books say how many jobs did not end
            time.sleep(LOOK_SECONDS)

    def _billed(self) -> tuple[Decimal, Decimal]:
        """All that was billed until now, and what of it a provider denied."""
        bill = read_bill(self._stack)
        return (
            sum((line.amount for line in bill.lines), Decimal(0)),
            sum((line.amount for line in bill.denied), Decimal(0)),
        )

    def _books(self, case: str, fired: int, at_most: Decimal, billed: Decimal, denied: Decimal) -> Books:
        stack = self._stack
        (batch,) = stack.sql("SELECT * FROM batches WHERE name = :name", name=case)
        (attempts,) = stack.sql("SELECT count(*) AS n FROM attempts WHERE batch_id = :id", id=batch.id)
        spent = stack.sql("SELECT amount FROM spend WHERE scope = :scope", scope=f"batch:{batch.id}")
        all_billed, all_denied = self._billed()
        found = [each for each in wrongs(stack) if each not in self._known]
        self._known.update(found)
        return Books(
            case=case,
            jobs=sum(1 for _ in stack.sql("SELECT 1 FROM jobs WHERE batch_id = :id", id=batch.id)),
            fired=fired,
            attempts=attempts.n,
            at_most=at_most,
            billed=all_billed - billed,
            booked=sum((row.amount for row in spent), Decimal(0)),
            denied=all_denied - denied,
            made=batch.succeeded,
            rejected=batch.rejected,
            failed=batch.failed,
            found=tuple(found),
        )
