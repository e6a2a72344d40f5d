"""The type checker looks through every way into a transaction: what `work` takes must be what is handed in."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.stack import ROOT

pytestmark = pytest.mark.heavy

#: Each line is right but for those that say what is wrong with them.
SNIPPET = """
from collections.abc import Sequence
from sqlalchemy.orm import Session
from models.transactions import Database
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice

def work(session: Session, ids: Sequence[str], *, limit: int = 1) -> float:
    return 0.0

async def everywhere(database: Database, runtime: Runtime, turn: Slice) -> None:
    number: float = database.db(work, ["a"], limit=2)
    number = await database.adb(work, ["a"])
    number = await runtime.adb(work, ["a"], limit=2)
    number = await turn.db(work, ["a"], limit=2)
    number = await database.in_thread(database.db, work, ["a"])
    database.db(work, [1])  # list item
    database.db(work)  # too few
    database.db(work, ["a"], 2)  # too many
    database.db(work, ["a"], limit="2")  # limit
    await database.adb(work, 7)  # argument 2
    await turn.db(work, ["a"], most=2)  # unexpected keyword
    await runtime.in_thread(len, 7)  # argument 2
    text: str = database.db(work, ["a"])  # str
"""


@pytest.mark.parametrize("wrong", [True, False])
def test_a_planted_mistake_in_a_transactions_arguments_is_an_error(tmp_path: Path, *, wrong: bool) -> None:
    lines = SNIPPET.splitlines()
    planted = {number for number, line in enumerate(lines, 1) if "  # " in line}
    snippet = tmp_path / "snippet.py"
    snippet.write_text("\n".join(line if wrong or "  # " not in line else "" for line in lines))
    result = subprocess.run(
        [sys.executable, "-m", "mypy", snippet], cwd=ROOT, capture_output=True, text=True, check=False
    )
    found = {int(number) for number in re.findall(r"snippet.py:(\d+): error:", result.stdout)}
    assert (found, result.returncode) == ((planted, 1) if wrong else (set(), 0)), result.stdout + result.stderr
