"""A short soak: what `make chaos` does for ten minutes, done for half of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.chaos.plan import make_plan
from tests.chaos.soak import soak


@pytest.mark.faults
@pytest.mark.matrix
@pytest.mark.timeout(1800)  # the last looks at lost jobs come four deadlines after they were sent
def test_everything_breaks_for_a_while_and_nothing_is_wrong(tmp_path: Path) -> None:
    told: list[str] = []
    report = soak(make_plan(seed=7, jobs=300, seconds=25.0), tmp_path, told.append)

    assert report.wrong == [], "\n".join([*told, report.in_words()])
    assert report.kills
    assert sum(report.states.values()) == 300 - report.tasks_lost
    assert report.spent.rstrip("0") == report.billed.rstrip("0") or report.denied != "0"
