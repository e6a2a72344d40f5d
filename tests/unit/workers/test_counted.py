"""Numbers of things in words."""

from __future__ import annotations

import pytest

from workers.counted import counted


@pytest.mark.parametrize(("number", "text"), [(0, "0 jobs"), (1, "1 job"), (2, "2 jobs"), (12_000, "12,000 jobs")])
def test_one_is_singular(number: int, text: str) -> None:
    assert counted(number, "job") == text
