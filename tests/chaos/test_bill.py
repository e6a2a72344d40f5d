"""What is wrong between bill and books is found, and named."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from tests.bill import Bill, Entry, Line, wrong_in

LINE = Line(1, "qolaba", "h1", None, None, "a knight", Decimal("0.03"), lost=False)
ENTRY = Entry(
    "a1", "j1", "sandbox-qolaba", "qolaba", "done", "succeeded", True, "h1", None, None, "a knight", Decimal("0.03")
)  # fmt: skip
HELD = replace(ENTRY, id="a2", state="unknown", job_state="held", accepted=False, handle=None)
SEARCHED = Line(9, "zhiqite", "a9", "a9", None, None, Decimal("0.02"), lost=False)


def found(lines: list[Line], entries: list[Entry]) -> list[str]:
    return list(wrong_in(Bill(lines, entries)))


@pytest.mark.parametrize(
    ("lines", "entries"),
    [
        ([LINE], [ENTRY]),
        ([LINE], [HELD]),
        ([], [HELD]),
        ([LINE, replace(LINE, number=2, handle="h2")], [ENTRY, HELD]),
        ([replace(LINE, prompt=None, token="t")], [replace(HELD, token="t")]),
        # A provider that says it has none of it, and is asked again under the same reference.
        (
            [replace(SEARCHED, lost=True), replace(SEARCHED, number=10)],
            [replace(ENTRY, id="a9", provider="zhiqite", handle="a9", cost=Decimal("0.02"))],
        ),
        ([replace(SEARCHED, lost=True)], []),
    ],
)
def test_what_is_right(lines: list[Line], entries: list[Entry]) -> None:
    assert found(lines, entries) == []


@pytest.mark.parametrize(
    ("lines", "entries", "wrong"),
    [
        ([], [ENTRY], "counts as accepted and has no line"),
        ([LINE, replace(LINE, number=2)], [ENTRY], "was paid 2 times"),
        ([LINE], [ENTRY, replace(ENTRY, id="a3")], "claimed by 2 attempts"),
        ([LINE], [replace(ENTRY, cost=Decimal("0.02"))], "is booked with 0.02 and was billed 0.03"),
        ([LINE], [], "is nobody's"),
        ([LINE, replace(LINE, number=2, handle="h2")], [HELD], "is nobody's"),
        ([LINE], [replace(HELD, job_state="failed")], "neither accepted nor held"),
        ([LINE], [replace(HELD, cost=Decimal("0.06"))], "held attempt a2 is booked with 0.06"),
        ([LINE], [replace(HELD, state="not_sent")], "is nobody's"),
        ([SEARCHED], [], "is nobody's"),
        ([LINE], [replace(ENTRY, accepted=False)], "not counted as accepted"),
        ([replace(LINE, lost=True)], [], "is nobody's"),
    ],
)
def test_what_is_wrong(lines: list[Line], entries: list[Entry], wrong: str) -> None:
    assert any(wrong in item for item in found(lines, entries)), found(lines, entries)


def test_two_lost_submissions_with_one_prompt_explain_two_lines() -> None:
    lines = [LINE, replace(LINE, number=2, handle="h2")]
    explained, nobodys = Bill(lines, [HELD, replace(HELD, id="a4")]).explain()
    assert (set(explained), nobodys) == ({"a2", "a4"}, [])
