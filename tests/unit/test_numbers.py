"""The numbers of docs/numbers.md are those of the code, and the design pages use no others."""

from __future__ import annotations

import re

import pytest

from tests.unit.documents import text_of
from tests.unit.numbers import PAGE, numbers, rows

#: Pages that say how Recast behaves; the others explain commands by examples.
DESIGN = (
    "ARCHITECTURE.md", "docs/pumps.md", "docs/admission.md", "docs/polling.md", "docs/health-and-logs.md",
)  # fmt: skip


def durations(text: str) -> set[str]:
    """The times and shares in `text`, as the table writes them."""
    return set(re.findall(r"(?<![\w.,-])\d+(?:\.\d+)? (?:ms|s|min|h|d|%)(?!\w)", text))


def test_the_table_and_the_code_have_the_same_numbers() -> None:
    said = {where: value for where, value, _ in rows()}
    true = {number.where: number.value for number in numbers()}
    assert said == true, f"{PAGE} is out of date: python -m tests.unit.numbers --write"


def test_meanings_are_the_comments_of_the_code() -> None:
    said = {where: meaning for where, _, meaning in rows()}
    told = {number.where: number.meaning for number in numbers() if number.meaning}
    assert {where: said[where] for where in told} == told, (
        f"{PAGE} is out of date: python -m tests.unit.numbers --write"
    )


def test_each_number_has_one_row_and_a_meaning() -> None:
    constants = [where for where, _, _ in rows()]
    assert len(constants) == len(set(constants))
    assert [where for where, _, meaning in rows() if not meaning] == []


@pytest.mark.parametrize("document", DESIGN)
def test_design_pages_use_numbers_of_the_table(document: str) -> None:
    known = {part for _, value, _ in rows() for part in value.split(", ")}
    assert durations(text_of(document)) - known == set()


def test_a_number_in_prose_is_noticed() -> None:
    assert durations("at most 50 ms late, within 5 s, 90 % of 3 sends; every 2.5 h") == {
        "50 ms",
        "5 s",
        "90 %",
        "2.5 h",
    }
