"""The most that jobs may cost: at the dearest account that could take them, and unknown where one has no price."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

import pytest

from workers.config.accounts import Account, parse
from workers.operations.costs import NOWHERE, Line, lines, unpriced

ZHIQITE = {
    "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
}  # fmt: skip
LANE = "zhiqite.swap"


def accounts(**prices: Mapping[str, str]) -> dict[str, Account]:
    return {name: parse(name, {**ZHIQITE, "prices": dict(each)}) for name, each in prices.items()}


def test_the_dearest_account_counts_once_for_each_paid_attempt() -> None:
    known = accounts(cheap={"swap": "0.02 USD"}, dear={"swap": "0.05 USD"})
    assert lines([(LANE, {}, 3)], known, 2) == [Line("dear", LANE, 3, Decimal("0.30"))]


@pytest.mark.parametrize("order", [("cheap", "free", "dear"), ("free", "dear", "cheap"), ("dear", "cheap", "free")])
def test_an_account_without_a_price_is_dearer_than_any_other(order: tuple[str, ...]) -> None:
    known = accounts(cheap={"swap": "0.02 USD"}, free={}, dear={"swap": "0.05 USD"})
    told = lines([(LANE, {}, 3), (f"dear@{LANE}", {}, 1)], {name: known[name] for name in order}, 1)
    assert told == [Line("dear", LANE, 1, Decimal("0.05")), Line("free", LANE, 3, Decimal(0), priced=False)]
    assert unpriced([LANE], known) == [f"free: {LANE}"]


def test_a_price_of_nothing_is_a_price() -> None:
    known = accounts(gift={"swap": "0 USD"}, dear={"swap": "0.05 USD"})
    assert lines([(LANE, {}, 1)], known, 1) == [Line("dear", LANE, 1, Decimal("0.05"))]
    assert lines([(LANE, {}, 1)], {"gift": known["gift"]}, 1) == [Line("gift", LANE, 1, Decimal(0))]


def test_a_lane_that_no_account_serves_costs_nothing() -> None:
    assert lines([("hidream.variation", {}, 2)], accounts(one={}), 1) == [
        Line(NOWHERE, "hidream.variation", 2, Decimal(0))
    ]
