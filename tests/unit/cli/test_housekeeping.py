"""`recast forget` and `recast prune` refuse what is unclear before they look at anything."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cli import housekeeping
from cli.exit_codes import ExitCode
from cli.main import main
from tests.words import unsaid
from workers.operations.erase import Removed
from workers.operations.forget import Forgotten


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["forget"], ("pictures",)),
        (["forget", "--metadata", "Ann"], ("COLUMN=VALUE",)),
        (["prune", "--state", "queued"], ("ended",)),
        (["prune", "--older", "soon"], ("30d",)),
    ],
)
def test_a_command_that_is_unclear_changes_nothing(
    arguments: list[str], facts: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert unsaid(capsys.readouterr().err, *facts) == []


@pytest.mark.parametrize(
    ("left", "facts"),
    [
        ({}, None),
        ({"at_work": ["job-1"]}, ("job-1",)),
        ({"uploads": [{"account": "main", "role": "source", "handle": "id-7"}]}, ("main", "source", "id-7")),
        ({"files": Removed(failed={"ab.jpg": "in use"})}, ("ab.jpg",)),
        ({"results_left": ["task-1"]}, ("task-1",)),
        ({"links": 2}, ("2", "--exports")),
        ({"flower": "flower.db"}, ("flower.db", "Flower")),
    ],
    ids=lambda value: next(iter(value), "nothing") if isinstance(value, dict) else None,
)
def test_what_is_not_ours_to_remove_is_named_and_ends_with_a_code_of_its_own(
    left: dict[str, Any],
    facts: tuple[str, ...] | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    left = dict(left)
    if name := left.pop("flower", None):
        (tmp_path / name).touch()
    runtime = SimpleNamespace(db=lambda _: [])
    monkeypatch.setattr(housekeeping, "open_deployment", lambda **_: nullcontext(runtime))
    monkeypatch.setattr(housekeeping, "forget_person", lambda *_, **__: Forgotten(ended=["job-0"], **left))

    assert main(["forget", "/ann.jpg"]) == (ExitCode.OK if facts is None else ExitCode.PERSON)
    assert unsaid(capsys.readouterr().err, *facts or ()) == []
