"""Runs every operation under every fault and compares bill, books and plan: ``python -m tests.money``."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.money.books import COLUMNS, table
from tests.money.cases import CASES
from tests.money.deployment import deployed

JOBS = 306  # 34 of each of nine operations


def main() -> int:
    """Run the cases one after another and print them as one table. Exit code 1 when a promise was not kept."""
    parser = argparse.ArgumentParser(prog="python -m tests.money", description="Compare bill, books and plan.")
    parser.add_argument("--jobs", type=int, default=JOBS, help="of each fault")
    parser.add_argument("--fault", action="append", choices=sorted(CASES), help="only this one; can be repeated")
    parser.add_argument("--home", type=Path, help="the deployment's files; kept")
    asked = parser.parse_args()
    home = asked.home or Path(tempfile.mkdtemp(prefix="recast-money-"))
    lines = []
    with deployed(home) as deployment:
        for case in asked.fault or CASES:
            lines.append(deployment.run(case, asked.jobs))
            pairs = zip(COLUMNS, lines[-1].cells, strict=True)
            sys.stderr.write(", ".join(f"{name} {cell}" for name, cell in pairs) + "\n")
    wrong = [each for line in lines for each in line.wrong()]
    sys.stdout.write(table(lines) + "\n")
    sys.stdout.write("\n".join(wrong or ["bill = books in each case, and nowhere above what the plan named"]) + "\n")
    if not wrong and asked.home is None:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
