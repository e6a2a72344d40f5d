"""Numbers of things in words."""

from __future__ import annotations

import pytest

from workers.counted import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (12_000, "12,000 jobs")])
def test_one_is_singular(number: int, text: str) -> None:
    assert counted(number, "job") == text


@pytest.mark.parametrize(
    ("number", "verb", "text"),
    [(1, "wait", "1 job waits"), (2, "wait", "2 jobs wait"), (1, "are", "1 job is"), (3, "are", "3 jobs are"),
     (1, "have", "1 job has")],
)  # fmt: skip
def test_its_verb_agrees(number: int, verb: str, text: str) -> None:
    assert counted(number, "job", verb) == text
