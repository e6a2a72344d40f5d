"""`recast forget` and `recast prune` refuse what is unclear before they look at anything."""

from __future__ import annotations

import pytest
import typer

from cli.housekeeping import keep_days
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


def test_a_batch_is_kept_for_whole_days() -> None:
    assert [keep_days(text) for text in (None, "30d", "48h")] == [None, 30, 2]
    for text in ("36h", "0d", "soon"):
        with pytest.raises(typer.BadParameter):
            keep_days(text)
