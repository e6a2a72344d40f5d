"""Runs a soak: ``python -m tests.chaos --seed 123``. Exit code 1 when anything is wrong."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.plan import make_plan
from tests.chaos.soak import soak


def main() -> int:
    """Soak, and say what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Break everything, for a while.")
    parser.add_argument("--seed", type=int, help="plays the same kills and faults again; by chance without one")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="of storm")
    parser.add_argument("--to", type=Path, help="where the report goes as JSON; into the home without it")
    parser.add_argument("--home", type=Path, help="where the deployment's files lie; kept, also when all is well")
    asked = parser.parse_args()
    seed = asked.seed if asked.seed is not None else random.SystemRandom().randrange(1_000_000)
    plan = make_plan(seed, asked.jobs, asked.minutes * 60)
    home = asked.home or Path(tempfile.mkdtemp(prefix="recast-chaos-"))
    home.mkdir(parents=True, exist_ok=True)
    _tell(f"seed {seed}: {plan.jobs} jobs, {len(plan.kills)} kills and {len(plan.faults)} faults in {plan.seconds:g} s")
    _tell(f"logs: {home}")
    report = soak(plan, home, _tell)
    text = json.dumps(report.as_document(), indent=2)
    (home / "report.json").write_text(text)
    if asked.to is not None:
        asked.to.write_text(text)
    sys.stdout.write(report.in_words() + "\n")
    if not report.wrong and asked.home is None:
        shutil.rmtree(home, ignore_errors=True)
    return 1 if report.wrong else 0


def _tell(line: str) -> None:
    sys.stdout.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
