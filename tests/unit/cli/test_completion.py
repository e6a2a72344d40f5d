"""Completion of names: what is completed, and that nothing is said, started or waited for where there is nothing."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from cli import completion
from tests.stack import ROOT
from tests.unit.cli.commands import every

ACCOUNTS = """
[accounts.zhiqite-main]
key = "env:NOT_SET"
[accounts.zhiqite-spare]
[accounts.qolaba]
"""
#: The parameters that name what can be completed.
NAMED = {"batch", "account", "to"}
#: Where such a name means something else: a file.
OTHERS = {("export", "to"), ("accounts", "check", "to")}


def completed(folder: Path, words: str, **environ: str) -> tuple[list[str], str]:
    """What a shell offers for the last word, and what else it would show."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(("RECAST_", "_RECAST_"))}
    env |= {"PYTHONPATH": str(ROOT), "COMP_WORDS": words, "COMP_CWORD": str(words.count(" ")), **environ}
    script = "import sys; sys.argv[0] = 'recast'; from cli.main import main; sys.exit(main())"
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env={**env, "_RECAST_COMPLETE": "complete_bash"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return result.stdout.split(), result.stderr


def test_every_parameter_that_names_a_batch_or_an_account_is_completed() -> None:
    silent = [
        (*path, each.name)
        for path, command in every()
        for each in command.params
        if each.name in NAMED and (*path, each.name) not in OTHERS and each._custom_shell_complete is None
    ]
    assert silent == []


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("words", "names"),
    [
        pytest.param("recast accounts pause z", ["zhiqite-main", "zhiqite-spare"], marks=pytest.mark.long),
        ("recast retry --account zhiqite-s", ["zhiqite-spare"]),
        pytest.param("recast run catalog.csv --account q", ["qolaba"], marks=pytest.mark.long),
    ],
)
def test_accounts_are_completed_from_the_file_alone(tmp_path: Path, words: str, names: list[str]) -> None:
    (tmp_path / "accounts.toml").write_text(ACCOUNTS)
    assert completed(tmp_path, words) == (names, "")


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("words", "environ"),
    [
        ("recast status s", {"RECAST_DATABASE_URL": "postgresql://127.0.0.1:1/none"}),
        ("recast status --sandbox s", {"RECAST_DATABASE_URL": "postgresql://127.0.0.1:1/none"}),
        ("recast accounts pause a", {"RECAST_SLOTS": "x"}),
    ],
)
def test_nothing_is_said_or_made_where_there_is_nothing(tmp_path: Path, words: str, environ: dict[str, str]) -> None:
    assert completed(tmp_path, words, **environ) == ([], "")
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion, "SECONDS", 0.05)
    began = time.monotonic()

    def hang() -> Any:
        time.sleep(2.0)

    assert completion._in_time(hang) == []
    assert time.monotonic() - began < 1.5
