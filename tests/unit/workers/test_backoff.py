"""Delays grow, are spread, and never leave their bounds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.backoff import JITTER, Backoff, jittered

SECONDS = st.floats(0.001, 1_000)


@given(step=st.integers(0, 10_000), first=SECONDS, cap=SECONDS, factor=st.floats(1, 10))
def test_a_delay_never_exceeds_its_cap_and_never_shrinks(step: int, first: float, cap: float, factor: float) -> None:
    backoff = Backoff(first, cap, factor, jitter=0.0)

    assert 0 < backoff.delay(step) <= cap
    assert backoff.delay(step + 1) >= backoff.delay(step)


def test_it_grows_exponentially() -> None:
    backoff = Backoff(first=2.0, cap=300.0, jitter=0.0)

    assert [backoff.delay(step) for step in range(10)] == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300]


@given(step=st.integers(0, 100), jitter=st.floats(0, 1))
def test_it_is_spread_at_its_cap_too(step: int, jitter: float) -> None:
    plain = Backoff(1.0, 60.0, jitter=0.0).delay(step)

    assert plain * (1 - jitter) - 1e-6 <= Backoff(1.0, 60.0, jitter=jitter).delay(step) <= plain * (1 + jitter) + 1e-6


@given(seconds=st.floats(0, 1e6), jitter=st.floats(0, 1))
def test_jitter_stays_within_its_spread(seconds: float, jitter: float) -> None:
    assert seconds * (1 - jitter) - 1e-6 <= jittered(seconds, jitter) <= seconds * (1 + jitter) + 1e-6


def test_jitter_separates_what_was_throttled_together() -> None:
    delays = sorted(jittered(10.0) for _ in range(1_000))

    assert delays[0] == pytest.approx(10 * (1 - JITTER), rel=0.05)
    assert delays[-1] == pytest.approx(10 * (1 + JITTER), rel=0.05)
    assert max(later - earlier for earlier, later in itertools.pairwise(delays)) < 0.2
