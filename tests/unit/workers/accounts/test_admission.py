"""What admission lets through: never more than in-flight places, rate and a half-open probe allow."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.states import Closure
from workers.accounts.admission import RATE_BURST_SECONDS, AdmissionState, Count, allowance, refilled
from workers.config.accounts import Limits

OPEN = AdmissionState(
    now=datetime(2026, 1, 31, tzinfo=UTC),
    closed_for=None,
    closed_reason=None,
    failures=0,
    rate_tokens=None,
    rate_age=0.0,
    count=Count(0, 0),
    sending=0,
    overrides={},
)
RATES = st.floats(0.01, 500)


def limits(max_in_flight: int = 32, rate: float | None = None) -> Limits:
    # Rates are written as text; a day's number keeps every figure that Hypothesis finds.
    return Limits.model_validate(
        {"max_in_flight": max_in_flight, "rate": None if rate is None else f"{rate * 86_400:.6f}/day"}
    )


def test_an_account_that_accepts_lets_through_what_is_wanted() -> None:
    assert allowance(OPEN, limits(), 10).number == 10
    assert allowance(OPEN, limits(), 10).blocked_by is None


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 100))
def test_never_more_than_the_places_in_flight(wanted: int, open_attempts: int, places: int) -> None:
    allowed = allowance(replace(OPEN, count=Count(0, open_attempts)), limits(places), wanted)

    assert allowed.number == max(0, min(wanted, places - open_attempts))
    assert (allowed.blocked_by == "in_flight") is (wanted > places - open_attempts)


@given(wanted=st.integers(1, 50), sending=st.integers(0, 50), failures=st.integers(1, 9), rate=st.none() | RATES)
def test_a_half_open_account_lets_one_probe_through(
    wanted: int, sending: int, failures: int, rate: float | None
) -> None:
    half_open = replace(OPEN, failures=failures, sending=sending, count=Count(0, sending))
    allowed = allowance(half_open, limits(100, rate), wanted)

    assert allowed.number == (0 if sending else 1)


@given(st.sampled_from(Closure), st.floats(0.1, 1e6) | st.just(math.inf))
def test_a_stopped_account_lets_nothing_through_and_says_why(reason: Closure, seconds: float) -> None:
    allowed = allowance(replace(OPEN, closed_for=seconds, closed_reason=reason), limits(), 5)

    assert (allowed.number, allowed.blocked_by, allowed.ask_in) == (0, reason, seconds)


@given(rate=RATES, asks=st.lists(st.tuples(st.floats(0, 5), st.integers(0, 400)), max_size=60))
def test_within_any_time_no_more_than_rate_and_burst(rate: float, asks: list[tuple[float, int]]) -> None:
    account, state = limits(100_000, rate), OPEN
    now, sent = 0.0, []
    for elapsed, wanted in asks:
        now += elapsed
        allowed = allowance(replace(state, rate_age=elapsed), account, wanted)
        state = replace(state, rate_tokens=allowed.tokens)
        sent.append((now, allowed.number))
        assert 0 <= allowed.number <= wanted
        assert allowed.tokens is not None
        assert allowed.tokens >= 0

    burst = max(1.0, rate * RATE_BURST_SECONDS)
    for first, (start, _) in enumerate(sent):
        total = 0
        for end, number in sent[first:]:
            total += number
            assert total <= burst + rate * (end - start) + 1e-3


@given(rate=RATES, tokens=st.floats(0, 500), wanted=st.integers(1, 500))
def test_when_the_rate_blocks_it_says_when_to_ask_again(rate: float, tokens: float, wanted: int) -> None:
    account = limits(100_000, rate)
    state = replace(OPEN, rate_tokens=tokens)
    allowed = allowance(state, account, wanted)

    if allowed.blocked_by == "rate":
        assert allowed.ask_in is not None
        later = refilled(replace(state, rate_tokens=allowed.tokens, rate_age=allowed.ask_in), account)
        assert later == pytest.approx(1.0, rel=1e-6) or later == pytest.approx(max(1.0, account.rate or 0), rel=1e-6)
    else:
        assert allowed.number == wanted
        assert allowed.ask_in is None


def test_an_unused_rate_is_kept_for_a_second_only() -> None:
    account = limits(100_000, 5.0)

    assert refilled(replace(OPEN, rate_tokens=0.0, rate_age=3_600.0), account) == pytest.approx(5.0)
    assert refilled(OPEN, limits()) is None
