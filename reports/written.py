"""Values as JSON has them: times in ISO 8601, amounts with their currency."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from recast.money import Money
from reports.batch import BatchReport


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


def of_batch(report: BatchReport, currency: str, obstacles: Sequence[str]) -> dict[str, Any]:
    """A batch, with why it does not continue."""
    return {
        "batch": report.name,
        "label": report.label,
        "states": dict(report.counts),
        "settled": report.settled,
        "spent": Money(report.spent, currency),
        "max_cost": Money(report.max_cost, currency) if report.max_cost is not None else None,
        "max_in_flight": report.max_in_flight,
        "paused": report.paused_reason,
        "created_at": report.created_at,
        "obstacles": list(obstacles),
    }


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Money):
        return value.document()
    if isinstance(value, Decimal):
        raise TypeError("an amount has no currency; use Money or priced()")
    return str(value)
