"""What a pilot says of the rest: money and how many would be accepted."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports.pilot import acceptance, mean_costs, rest_cost
from reports.wilson import interval
from tests.unit.catalog.catalogs import accounts


@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"),
    # Newcombe, "Two-sided confidence intervals for the single proportion", Statistics in Medicine 17 (1998), table I.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_wilsons(hits: int, tries: int, low: float, high: float) -> None:
    assert [round(side, 4) for side in interval(hits, tries)] == [low, high]


@given(tries=st.integers(1, 500), part=st.floats(0, 1), waiting=st.integers(0, 1_000_000))
def test_what_is_likely_lies_within(tries: int, part: float, waiting: int) -> None:
    found = acceptance(int(part * tries), tries, waiting)
    assert found.likely is not None
    assert 0 <= found.low <= found.likely <= found.high <= waiting


def test_without_a_verdict_nothing_is_known() -> None:
    found = acceptance(0, 0, 100)
    assert (found.low, found.likely, found.high) == (0, None, 100)


def test_the_rest_costs_what_the_sample_did_between_the_cheapest_and_the_most() -> None:
    known = {
        f"account-{price}": account
        for price in ("0.02", "0.05")
        for account in accounts("zhiqite", prices={"swap": f"{price} USD"}).values()
    }
    means = mean_costs([("zhiqite.swap", 3, Decimal("0.07")), ("zhiqite.swap", 1, Decimal("0.05"))])
    assert means == {"zhiqite.swap": Decimal("0.03")}
    found = rest_cost([("zhiqite.swap", {}, 100)], means, known, paid_attempts=2)
    assert [found.low, found.likely, found.at_most] == [Decimal(2), Decimal(3), Decimal(10)]
    assert found.priced
    unknown = rest_cost([("zhiqite.swap_v2", {}, 100)], means, known, paid_attempts=2)
    assert not unknown.priced
    far = rest_cost([("zhiqite.swap", {}, 100)], {"zhiqite.swap": Decimal(9)}, known, paid_attempts=2)
    assert far.likely == far.at_most
