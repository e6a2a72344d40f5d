"""Delays grow, are spread, and never leave their bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.backoff import JITTER, growing, jittered

SECONDS = st.floats(0.001, 1_000)


@given(step=st.integers(0, 10_000), first=SECONDS, cap=SECONDS, factor=st.floats(1, 10))
def test_a_delay_never_exceeds_its_cap_and_never_shrinks(step: int, first: float, cap: float, factor: float) -> None:
    delay = growing(step, first=first, cap=cap, factor=factor)

    assert 0 < delay <= cap
    assert growing(step + 1, first=first, cap=cap, factor=factor) >= delay


def test_it_grows_exponentially() -> None:
    delays = [growing(step, first=2.0, cap=300.0) for step in range(10)]

    assert delays == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert all(later == 2 * earlier for earlier, later in itertools.pairwise(delays[:8]))


@given(seconds=st.floats(0, 1e6), spread=st.floats(0, 1))
def test_jitter_stays_within_its_spread(seconds: float, spread: float) -> None:
    assert seconds * (1 - spread) - 1e-6 <= jittered(seconds, spread) <= seconds * (1 + spread) + 1e-6


def test_jitter_separates_what_was_throttled_together() -> None:
    delays = sorted(jittered(10.0) for _ in range(1_000))

    assert delays[0] == pytest.approx(10 * (1 - JITTER), rel=0.05)
    assert delays[-1] == pytest.approx(10 * (1 + JITTER), rel=0.05)
    assert max(later - earlier for earlier, later in itertools.pairwise(delays)) < 0.2
