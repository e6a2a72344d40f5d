"""Money: how it is written, and the one way in which it is read."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recast.money import DIGITS, Money
from tests.words import names

SUMS = st.decimals(min_value=0, max_value=10**DIGITS, places=4).filter(lambda value: value < 10**DIGITS)


@pytest.mark.parametrize(
    ("amount", "people", "programs"),
    [
        ("0", "0.00 USD", "0"),
        ("0.4600", "0.46 USD", "0.46"),
        ("0.0125", "0.0125 USD", "0.0125"),
        ("1200", "1200.00 USD", "1200"),
        ("0.1", "0.10 USD", "0.1"),
        ("-3.5", "-3.50 USD", "-3.5"),
    ],
)
def test_how_it_is_written(amount: str, people: str, programs: str) -> None:
    money = Money(Decimal(amount), "USD")
    assert str(money) == people
    assert money.document() == {"amount": programs, "currency": "USD"}


@pytest.mark.parametrize(
    ("said", "amount"),
    [
        ("12.50", "12.50"), ("12", "12"), (" 0.0200 USD ", "0.02"), ("USD 3", "3"), ("$0.02", "0.02"),
        ("0.020000", "0.02"), (12, "12"), (12.5, "12.5"), (Decimal("1E+2"), "100"), (Money(Decimal(2), "USD"), "2"),
        ("9999999999.9999", "9999999999.9999"),
    ],
)  # fmt: skip
def test_how_it_is_given(said: object, amount: str) -> None:
    assert Money.parse(said, "USD") == Money(Decimal(amount), "USD")


@pytest.mark.parametrize(
    "said",
    [
        "much", "", "-1", "1,02", "12,50 USD", "1e3", "1 EUR", "EUR 1", "€1", "USD 1 USD", "usd 1", "0.00001", "٣",
        "10000000000", "9" * 200, "1.", ".5", True, None, float("inf"), float("nan"), Decimal("NaN"), Decimal("sNaN"),
        Decimal("-Infinity"), Money(Decimal(2), "EUR"),
    ],
)  # fmt: skip
def test_what_is_not_a_valid_amount(said: Any) -> None:
    with pytest.raises(ValueError, match=names("12.50", "USD")) as caught:
        Money.parse(said, "USD")
    assert len(str(caught.value)) < 250


def test_an_amount_without_a_deployment_has_to_name_its_currency() -> None:
    assert Money.parse("€3").currency == "EUR"
    for bare in ("3", "$3"):
        with pytest.raises(ValueError, match=names(bare, "12.50 USD")):
            Money.parse(bare)


def test_invoices_may_be_finer_and_give_money_back() -> None:
    assert Money.parse("-0.0012345", "USD", decimals=12, negative=True).amount == Decimal("-0.0012345")


@given(SUMS)
def test_what_is_written_is_read_again(amount: Decimal) -> None:
    money = Money(amount, "USD")
    assert Money.read(money.document()) == money == Money.parse(str(money))
