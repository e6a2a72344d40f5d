"""Periods in UTC, and which submissions a budget can pay."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.batches import SINGLES
from workers.accounts.budget import Budgets, keys, periods, seconds_left

MOMENTS = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
COSTS = st.decimals(0, 5, places=4)


@pytest.mark.parametrize(
    ("at", "day", "month"),
    [
        ("2026-01-31T23:59:59.999+00:00", 0.001, 0.001),
        ("2026-01-31T00:00:00+00:00", 86_400, 86_400),
        ("2026-02-01T00:00:00+00:00", 86_400, 28 * 86_400),
        ("2028-02-28T12:00:00+00:00", 43_200, 43_200 + 86_400),
        ("2026-12-31T12:00:00+00:00", 43_200, 43_200),
        ("2026-12-01T00:00:00+00:00", 86_400, 31 * 86_400),
        # Summer time in Berlin begins within this day, and the day in UTC is as long as any other.
        ("2026-03-29T01:30:00+01:00", 84_600, 86_400 * 2 + 84_600),
        ("2026-02-01T01:00:00+02:00", 3_600, 3_600),
    ],
)
def test_seconds_left(at: str, day: float, month: float) -> None:
    moment = datetime.fromisoformat(at)

    assert seconds_left("day", moment) == pytest.approx(day)
    assert seconds_left("month", moment) == pytest.approx(month)


@given(MOMENTS, st.sampled_from(["day", "month"]), st.integers(-12, 14))
def test_a_period_ends_where_the_next_begins(at: datetime, period: str, offset: int) -> None:
    local = at.astimezone(timezone(timedelta(hours=offset)))
    left = timedelta(seconds=seconds_left(period, local))

    assert periods(at + left - timedelta(microseconds=1))[period] == periods(local)[period]
    assert periods(at + left + timedelta(microseconds=1))[period] != periods(local)[period]


def test_what_an_attempt_counts_into() -> None:
    at = datetime.fromisoformat("2026-02-01T01:00:00+02:00")
    account = [("account:a", "day:2026-01-31"), ("account:a", "month:2026-01")]

    assert keys("a", SINGLES, at) == account
    assert keys("a", 7, at) == [*account, ("batch:7", "all")]


@given(
    account=st.none() | COSTS,
    batches=st.dictionaries(st.integers(1, 3), COSTS, max_size=3),
    costs=st.lists(st.tuples(st.integers(0, 4), COSTS), max_size=30),
)
def test_nothing_is_paid_beyond_a_budget_and_nothing_payable_refused(
    account: Decimal | None, batches: dict[int, Decimal], costs: list[tuple[int, Decimal]]
) -> None:
    answers = Budgets({} if account is None else {"day": account}, batches).affordable(costs)

    spent, of_batch = Decimal(0), dict.fromkeys(batches, Decimal(0))
    for (batch_id, cost), ok in zip(costs, answers, strict=True):
        fits_account = account is None or spent + cost <= account
        fits_batch = batch_id not in batches or of_batch[batch_id] + cost <= batches[batch_id]
        assert ok is (fits_account and fits_batch)
        if ok:
            spent += cost
            if batch_id in batches:
                of_batch[batch_id] += cost
