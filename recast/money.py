"""Money: an amount and its currency, and the one form in which every door writes it.

For people ``0.02 USD``; in JSON ``{"amount": "0.02", "currency": "USD"}``, the amount as text, because numbers of JSON
are binary and would not add up to the cent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Self, TypedDict


class MoneyDocument(TypedDict):
    """An amount as JSON has it."""

    amount: str
    currency: str


@dataclass(frozen=True, slots=True)
class Money:
    """An amount in a currency (ISO 4217, three letters)."""

    amount: Decimal
    currency: str

    def __str__(self) -> str:
        return f"{self.amount.normalize():f} {self.currency}"

    def document(self) -> MoneyDocument:
        """As JSON has it."""
        return {"amount": f"{self.amount.normalize():f}", "currency": self.currency}

    @classmethod
    def read(cls, document: Mapping[str, str]) -> Self:
        """The amount that `document` gave.

        Raises:
            KeyError: it is not such a document.
            decimal.InvalidOperation: the amount is not a number.
        """
        return cls(Decimal(document["amount"]), document["currency"])
