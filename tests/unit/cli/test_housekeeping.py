"""`recast forget` and `recast prune` refuse what is unclear before they look at anything."""

from __future__ import annotations

import pytest

from cli.main import main


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["forget"], "name pictures"),
        (["forget", "--metadata", "Ann"], "COLUMN=VALUE"),
        (["prune", "--state", "queued"], "only jobs that have ended"),
        (["prune", "--older", "soon"], "30d"),
    ],
)
def test_a_command_that_is_unclear_changes_nothing(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert said in capsys.readouterr().err
