"""Values as JSON has them: times in ISO 8601, amounts with their currency."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

from recast.money import Money


def written(value: Any, indent: int | None = None) -> str:
    """A JSON document; amounts in it must be `Money`."""
    return json.dumps(value, indent=indent, ensure_ascii=False, default=_plain)


def priced(value: Any, currency: str) -> Any:
    """A copy of a document in which every `Decimal` is `Money` in `currency`."""
    if isinstance(value, Decimal):
        return Money(value, currency)
    if isinstance(value, Mapping):
        return {name: priced(item, currency) for name, item in value.items()}
    return [priced(item, currency) for item in value] if isinstance(value, list | tuple) else value


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Money):
        return value.document()
    if isinstance(value, Decimal):
        raise TypeError("an amount has no currency; use Money or priced()")
    return str(value)
