"""`recast forget` and `recast prune` refuse what is unclear before they look at anything."""

from __future__ import annotations

import pytest

from cli.main import main
from tests.words import unsaid


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
