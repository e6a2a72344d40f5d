"""Which jobs a command line means, and that much is not moved without asking."""

from __future__ import annotations

import io
import shlex
from dataclasses import replace
from decimal import Decimal
from typing import Annotated, Any

import pytest
import typer
from typer.testing import CliRunner

from cli import impact
from cli.filters import JobSelection, takes_selection
from desk.bulk_operations import Impact
from models.batches import SINGLES_NAME
from models.states import JobState
from recast.hints import hint
from tests.words import names
from workers.config.settings import Settings
from workers.jobs.filters import Filter
from workers.operations.costs import Line

SEEN: list[tuple[JobSelection, int]] = []


@takes_selection("label")
def command(selection: JobSelection, *, number: Annotated[int, typer.Option(help="How many.")] = 1) -> None:
    """Note what was meant."""
    SEEN.append((selection, number))


def meant(*arguments: str) -> tuple[JobSelection, int]:
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return SEEN.pop()


def test_words_and_options_make_a_selection() -> None:
    selection, number = meant(
        "one", "two", "--batch", "season", "--state", "failed", "--state", "held", "--reason", "lost",
        "--older", "2h", "--newer", "30min", "--number", "3",
    )  # fmt: skip
    which = Filter(
        batch="season", states=[JobState.FAILED, JobState.HELD], reason="lost", older=7_200.0, newer=1_800.0
    )  # fmt: skip
    assert (selection.words, selection.which, selection.everything, number) == (("one", "two"), which, False, 3)
    assert meant() == (JobSelection(), 1)
    assert meant("--all")[0].everything


@pytest.mark.parametrize(
    "arguments",
    [
        ("one two", "it's"),
        ("--batch", "season of rain", "--state", "failed", "--reason", "lost"),
        ("--account", "main", "--operation", "zhiqite.swap", "--older", "2h", "--newer", "90s"),
        ("--singles", "--account", "main"),
        ("--all",),
    ],
)
def test_a_selection_can_be_typed_again(arguments: tuple[str, ...]) -> None:
    selection = meant(*arguments)[0]
    _, command, *typed = shlex.split(hint("redownload", *selection.words, **selection.options).strip("`"))
    assert command == "redownload"
    again = meant(*typed)[0]
    assert (again.words, again.everything) == (selection.words, selection.everything)
    assert again.which == replace(selection.which, states=None), "jobs in any state"


def test_what_is_left_out_is_no_option() -> None:
    app = typer.Typer()
    app.command()(command)
    assert CliRunner().invoke(app, ["--label", "spring"]).exit_code == 2


def test_whole_batches_are_meant_by_batch_and_label_alone() -> None:
    assert Filter(batch="season").whole_batches
    assert Filter(label="spring", batch="season").whole_batches
    assert not Filter().whole_batches
    assert not Filter(batch="season", reason="lost").whole_batches
    assert not Filter(ids=["one"]).whole_batches
    assert not Filter(batch=SINGLES_NAME).whole_batches, "single jobs form none: later ones are not meant"


def much(jobs: int, cost: str) -> Impact:
    return Impact(["id"] * jobs, [Line("main", "zhiqite.swap", jobs, Decimal(cost))])


@pytest.mark.parametrize(
    ("jobs", "cost", "limits", "asks"),
    [
        (1_000, "500", {}, False),
        (1_001, "0", {}, True),
        (5, "10", {"confirm_above": 10}, False),
        (5, "10.01", {"confirm_above": 10}, True),
    ],
)
def test_much_is_asked_for_and_a_program_must_say_yes(
    monkeypatch: pytest.MonkeyPatch, jobs: int, cost: str, limits: dict[str, Any], asks: bool
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    settings = Settings(_env_file=None, **limits)
    impact._confirm("retry", much(jobs, cost), settings, yes=True)
    if not asks:
        impact._confirm("retry", much(jobs, cost), settings, yes=False)
        return
    with pytest.raises(typer.BadParameter, match=names("retry", f"{jobs:,}", "USD", "--yes")):
        impact._confirm("retry", much(jobs, cost), settings, yes=False)
