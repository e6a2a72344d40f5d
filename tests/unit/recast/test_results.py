"""Typed results: read from what workers write, today and before, and written as the same JSON."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from kombu.utils import json

from recast import GenerateResult, Money, Picture, SwapResult

PICTURE: dict[str, Any] = {
    "index": 0, "key": "a/0.png", "thumbnail_key": None, "sha256": "a1", "original_sha256": "b2", "size": 7,
    "media_type": "image/png", "width": 640, "height": 480, "facts": {"seed": 1}, "uri": "file:///pictures/a/0.png",
}  # fmt: skip
WRITTEN: dict[str, Any] = {
    "job": "job-1", "state": "succeeded", "account": "main", "operation": "zhiqite.swap",
    "cost": {"amount": "0.02", "currency": "USD"}, "seconds": 1.5, "results": [PICTURE],
}  # fmt: skip


@pytest.mark.parametrize("kind", [SwapResult, GenerateResult])
def test_a_result_is_typed(kind: type[SwapResult | GenerateResult]) -> None:
    result = kind.read(WRITTEN)
    assert type(result) is kind
    assert (result.job, result.account, result.operation, result.seconds) == ("job-1", "main", "zhiqite.swap", 1.5)
    assert result.cost == Money(Decimal("0.02"), "USD")
    assert isinstance(result.results[0], Picture)
    assert result.uri == result.results[0].uri == PICTURE["uri"]


@pytest.mark.parametrize(("amount", "currency"), [("0.02", "USD"), ("1000", "EUR"), ("0", "USD")])
def test_a_cost_that_former_workers_wrote_is_read(amount: str, currency: str) -> None:
    result = SwapResult.read({**WRITTEN, "cost": f"{amount} {currency}"})
    assert result.cost == Money(Decimal(amount), currency)


def test_what_later_workers_add_is_passed_over() -> None:
    later = {**WRITTEN, "news": 1, "results": [{**PICTURE, "news": 2}]}
    assert SwapResult.read(later) == SwapResult.read(WRITTEN)


def test_a_result_is_passed_on_as_it_was_written() -> None:
    result = SwapResult.read(WRITTEN)
    assert json.loads(json.dumps({"one": result, "other": result.results[0]})) == {"one": WRITTEN, "other": PICTURE}
