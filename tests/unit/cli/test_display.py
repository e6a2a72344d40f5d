from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from rich.console import Console

from cli.display import Lines, Silent, display_for, panel
from cli.output import console, why
from cli.progress import listing
from models.states import JobState, PauseReason
from reports.batch import BatchReport, Ending, Pace
from tests.words import unsaid


def report(**counts: int) -> BatchReport:
    return BatchReport(
        id=1,
        name="shoes",
        counts={state.value: counts.get(state, 0) for state in JobState},
        spent=Decimal("0.04"),
        max_cost=Decimal(5),
        paused_reason=None,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


ENDING = Ending("id", "boot", "rejected", "no_face", "Zhiqite: none", None)


def test_lines_tell_changes_and_each_bad_end_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([10.0, 10.1, 12.5, 12.6, 12.7])
    monkeypatch.setattr("cli.display.time.monotonic", lambda: next(clock))
    with Lines("USD") as lines:
        lines.show(report(queued=2), Pace(), [])
        lines.show(report(queued=1, running=1), Pace(), [])  # too soon after the first line
        lines.show(report(running=1, rejected=1), Pace(), [ENDING])
        lines.show(report(running=1, rejected=1), Pace(), [ENDING])  # nothing new
        lines.show(report(succeeded=1, rejected=1), Pace(), [ENDING])  # the end is told at once
    first, end, second, last = capsys.readouterr().out.splitlines()
    assert unsaid(first, "2 queued", "0.04 USD") == []
    assert unsaid(end, "boot", "rejected", why("no_face", "Zhiqite: none")) == []
    assert unsaid(second, "1 running", "1 rejected", "0.04 USD") == []
    assert unsaid(last, "1 succeeded", "1 rejected", "0.04 USD") == []


def test_a_panel_shows_counts_rate_spend_time_left_and_errors(capsys: pytest.CaptureFixture[str]) -> None:
    pace = Pace()
    pace.see(0.0, 0)
    pace.see(2.0, 4)
    console().print(panel(report(running=2, succeeded=3, rejected=1), pace, [ENDING], "USD"))
    told = capsys.readouterr().out
    assert unsaid(told, 4, 6, "1 s", "3 succeeded", "2.0", "0.04 USD", "5.00 USD", "boot", "rejected") == []


def test_a_list_of_batches_fits_a_terminal() -> None:
    full = replace(
        report(**dict.fromkeys(JobState, 1_000_000)),
        name="summer-shoes-2026",
        label="shop",
        paused_reason=PauseReason.PERSON,
    )
    out = io.StringIO()
    Console(file=out, width=80).print(listing([full], "USD"))
    told = out.getvalue()
    assert max(map(len, told.splitlines())) <= 80
    assert unsaid(told, "summer-shoes-2026", "shop", "8,000,000", "0.04 USD", " ago", *JobState) == []


def test_programs_and_pipes_get_what_suits_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(display_for("USD", as_json=True), Silent)
    assert isinstance(display_for("USD", as_json=False), Lines)
