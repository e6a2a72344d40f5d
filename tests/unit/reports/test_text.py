"""Sentences about accounts."""

from __future__ import annotations

import pytest

from reports.text import probing


@pytest.mark.parametrize(
    ("failures", "note", "said"),
    [(1, None, "probing after 1 failure"), (3, "busy", "probing after 3 failures (busy)")],
)
def test_an_account_is_probed_after_one_failure_or_several(failures: int, note: str | None, said: str) -> None:
    assert probing(failures, note) == said
