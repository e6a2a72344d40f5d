from __future__ import annotations

import pytest

from reports.batch import Pace


def test_the_pace_is_that_of_the_last_half_minute() -> None:
    pace = Pace()
    for second in range(100):
        pace.see(float(second), second if second < 50 else 50 + (second - 50) * 3)
    assert pace.rate == pytest.approx(3.0)
    assert pace.seconds_for(30) == pytest.approx(10.0)


def test_nothing_is_foretold_while_nothing_moves() -> None:
    pace = Pace()
    assert pace.rate == 0.0
    pace.see(1.0, 7)
    assert (pace.rate, pace.seconds_for(5)) == (0.0, None)
    pace.see(2.0, 7)
    assert pace.seconds_for(5) is None
