"""Money: an amount and its currency, with the one form in which every door writes and reads it.

For people ``0.02 USD``; in JSON ``{"amount": "0.02", "currency": "USD"}``, the amount as text, because numbers of JSON
are binary and would not add up to the cent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self, TypedDict

DECIMALS = 4  # as the books keep them (numeric(14, 4)); a finer price would make the sum of costs differ from the spend
DIGITS = 10  # before the point, as the books keep them

_GIVEN = re.compile(
    # Nothing is tried twice: a long text takes no longer than its length.
    r"\s*+(?P<before>[A-Z]{3}|[$€£])?+\s*+(?P<amount>-?+[0-9]++(\.(?P<fraction>[0-9]++))?+)\s*+(?P<after>[A-Z]{3})?+\s*+"
)
#: Symbols that invoices use for a currency's code; "$" means the deployment's own dollar.
_SYMBOLS: Mapping[str, str | None] = {"$": None, "€": "EUR", "£": "GBP"}


class MoneyDocument(TypedDict):
    """An amount in JSON."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217, three letters)."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        cents = self.amount.quantize(Decimal("0.01"))
        return f"{cents if cents == self.amount else self.amount.normalize():f} {self.currency}"

    def document(self) -> MoneyDocument:
        """The amount in JSON."""
        return {"amount": plain(self.amount), "currency": self.currency}

    @classmethod
    def read(cls, document: Mapping[str, object]) -> Self:
        """The amount that `document` gave.

        Raises:
            KeyError: it is not such a document.
            decimal.InvalidOperation: the amount is not a number.
        """
        return cls(Decimal(str(document["amount"])), str(document["currency"]))

    @classmethod
    def parse(
        cls, given: object, currency: str | None = None, *, decimals: int = DECIMALS, negative: bool = False
    ) -> Self:
        """The amount that a person, a file or a program gave: ``12.50``, ``12.50 USD``, a number, or money itself.

        Args:
            given: what was given.
            currency: the currency of a bare number, and the only one allowed; without it, `given` must name its own.
            decimals: the maximum number of decimals.
            negative: whether negative amounts are allowed.

        Raises:
            ValueError: it is not a valid amount; the message says what is allowed.
        """
        text = f"{given:f}" if isinstance(given, Decimal) else str(given)
        found = _GIVEN.fullmatch(text)
        if found is not None:
            before, after = found["before"], found["after"]
            named = _SYMBOLS.get(before, before) or after or currency
            amount = Decimal(found["amount"])
            if (
                named is not None
                and named == (currency or named)
                and not (before and after)
                and (negative or not found["amount"].startswith("-"))
                and len((found["fraction"] or "").rstrip("0")) <= decimals
                and amount.adjusted() < DIGITS
            ):
                return cls(amount, named)
        where = f" in {currency}" if currency is not None else " with its currency (12.50 USD)"
        raise ValueError(
            f"{text[:80]!r} is not a valid amount; allowed: a number such as 12.50{where},"
            f" with up to {DIGITS} digits and {decimals} decimals"
        )


def plain(amount: Decimal) -> str:
    """An amount as a plain number without trailing zeros, as programs read it."""
    return f"{amount.normalize():f}"
