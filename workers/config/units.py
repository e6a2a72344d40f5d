"""Durations, rates, prices and amounts, as people write them in the accounts file and on the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated

from pydantic import BeforeValidator

from recast.money import Money, MoneyDocument, plain

_UNITS = {"s": 1.0, "sec": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "hour": 3600.0, "d": 86400.0, "day": 86400.0}
_DURATION = re.compile(r"\s*+([0-9]++(?:\.[0-9]++)?)\s*+([a-z]++)\s*+")
_RATE = re.compile(r"\s*+([0-9]++(?:\.[0-9]++)?)\s*+/\s*+([a-z]++)\s*+")
LONGEST = 36_500 * 86_400.0  # seconds; a century: the database's clock has room for it on both sides of now
FASTEST = 1e6  # submissions a second; far above what any provider accepts
SHOWN = 80  # characters of a value in a message
PER_PICTURE = "/picture"  # behind a price that is for each picture, and not for a call


class TooLongError(ValueError):
    """It is a duration, but one that no clock has room for."""


def duration(value: object) -> float:
    """``"3s"``, ``"10min"``, ``"2h"`` or a number of seconds, as seconds."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value
    else:
        match = _DURATION.fullmatch(str(value))
        if not match or match[2] not in _UNITS:
            raise ValueError(f'{repr(value)[:SHOWN]} is not a duration: write "3s", "10min" or "2h"')
        seconds = float(match[1]) * _UNITS[match[2]]
    if not abs(seconds) <= LONGEST:  # nor a number that is none
        raise TooLongError(f"{str(value)[:SHOWN]} is too long a time; allowed: up to {LONGEST / _UNITS['d']:.0f}d")
    return float(seconds)


def rate(value: object) -> float:
    """``"60/min"`` as submissions a second."""
    match = _RATE.fullmatch(str(value))
    if not match or match[2] not in _UNITS or float(match[1]) <= 0:
        raise ValueError(f'{repr(value)[:SHOWN]} is not a rate: write "60/min", "5/s" or "1000/day"')
    submissions = float(match[1]) / _UNITS[match[2]]
    if submissions > FASTEST:
        raise ValueError(f"{str(value)[:SHOWN]!r} is too high a rate; allowed: up to {FASTEST:.0f}/s")
    return submissions


def per_minute(submissions: float) -> str:
    """Submissions a second as people write a rate, and `rate` reads it."""
    return f"{submissions * 60:g}/min"


class PriceDocument(MoneyDocument):
    """A price as JSON has it."""

    per_picture: bool


@dataclass(frozen=True, slots=True)
class Price(Money):
    """What one call, or one picture, costs."""

    per_picture: bool = False

    def __str__(self) -> str:
        return f"{Money(self.amount, self.currency)}{PER_PICTURE if self.per_picture else ''}"

    def document(self) -> PriceDocument:
        """As JSON has it."""
        return {"amount": plain(self.amount), "currency": self.currency, "per_picture": self.per_picture}

    def for_pictures(self, pictures: int) -> Decimal:
        """The price of one submission that asks for `pictures` pictures."""
        return self.amount * pictures if self.per_picture else self.amount


def price(value: object) -> Price:
    """``"0.02 USD"`` or ``"0.02 USD/picture"``."""
    if isinstance(value, Price):
        return value
    text = str(value).rstrip()
    per_picture = text.endswith(PER_PICTURE)
    money = Money.parse(text.removesuffix(PER_PICTURE) if per_picture else value)
    return Price(money.amount, money.currency, per_picture)


def money(value: object) -> Money:
    """``"20 USD"``."""
    return value if isinstance(value, Money) else Money.parse(value)


Seconds = Annotated[float, BeforeValidator(duration)]


Rate = Annotated[float, BeforeValidator(rate)]


PriceField = Annotated[Price, BeforeValidator(price)]


MoneyField = Annotated[Money, BeforeValidator(money)]
