from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.forecast import SAVING_SECONDS, AccountPace, Forecast, forecast

SWAP, PORTRAIT = "zhiqite.swap", "qolaba.avatar"


def seconds(found: Forecast) -> float:
    assert found.seconds is not None
    return found.seconds - SAVING_SECONDS


def test_places_bound_the_pace() -> None:
    found = forecast({SWAP: 1_000}, [AccountPace("a", 10, None, {SWAP: 2.0})])
    assert seconds(found) == pytest.approx(200)
    assert found.bounds == {"a": "in flight"}


def test_the_rate_bounds_the_pace_and_the_last_job_still_takes_its_time() -> None:
    found = forecast({SWAP: 1_000}, [AccountPace("a", 100, 5.0, {SWAP: 2.0})])
    assert seconds(found) == pytest.approx(202)
    assert found.bounds == {"a": "rate"}


def test_accounts_share_a_lane_by_their_pace() -> None:
    found = forecast({SWAP: 900}, [AccountPace("a", 10, None, {SWAP: 1.0}), AccountPace("b", 10, 5.0, {SWAP: 1.0})])
    assert found.shares == pytest.approx({("a", SWAP): 600, ("b", SWAP): 300})
    assert seconds(found) == pytest.approx(61)


def test_an_account_goes_on_with_what_is_left_when_a_lane_ends() -> None:
    accounts = [AccountPace("a", 10, 10.0, {SWAP: 0.5}), AccountPace("b", 10, 2.0, {SWAP: 0.5, PORTRAIT: 0.5})]
    found = forecast({SWAP: 100, PORTRAIT: 100}, accounts)
    assert seconds(found) == pytest.approx(55, rel=0.15)  # b alone has the portraits, while a does most of the swaps
    assert found.shares["b", PORTRAIT] == pytest.approx(100)


def test_the_batchs_own_limit_bounds_all_accounts_together() -> None:
    accounts = [AccountPace("a", 10, None, {SWAP: 1.0}), AccountPace("b", 10, None, {SWAP: 1.0})]
    assert seconds(forecast({SWAP: 100}, accounts, max_in_flight=5)) == pytest.approx(20)
    assert seconds(forecast({SWAP: 100}, accounts, max_in_flight=50)) == pytest.approx(5)


def test_a_lane_that_nobody_serves_never_ends() -> None:
    found = forecast({SWAP: 10, PORTRAIT: 3}, [AccountPace("a", 1, None, {SWAP: 1.0})])
    assert (found.seconds, found.stranded) == (None, [PORTRAIT])


def test_nothing_takes_no_time() -> None:
    assert forecast({}, []).seconds == 0


LANES = [SWAP, PORTRAIT, "piktid.swap"]
accounts = st.builds(
    AccountPace,
    st.sampled_from("abcd"),
    st.integers(1, 1_000),
    st.none() | st.floats(0.01, 100),
    st.dictionaries(st.sampled_from(LANES), st.floats(0.1, 100), min_size=1),
)


@given(
    st.dictionaries(st.sampled_from(LANES), st.integers(1, 1_000_000)),
    st.lists(accounts, max_size=4, unique_by=lambda account: account.name),
    st.none() | st.integers(1, 100),
)
def test_every_job_is_somebodys_and_more_jobs_take_no_less_time(
    jobs: dict[str, int], accounts: list[AccountPace], limit: int | None
) -> None:
    found = forecast(jobs, accounts, limit)
    for lane, number in jobs.items():
        taken = sum(share for (_, of), share in found.shares.items() if of == lane)
        assert taken == (0 if lane in found.stranded else pytest.approx(number, rel=0.02))
    if found.seconds is not None:
        more = forecast({lane: 2 * number for lane, number in jobs.items()}, accounts, limit).seconds
        assert more is not None
        assert math.isfinite(more)
        assert more >= found.seconds * 0.99
