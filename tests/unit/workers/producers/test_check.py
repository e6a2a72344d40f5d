"""What a producer's message says of the moment at which it expires."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from workers.producers.check import LONG_AGO, _expires


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        ("2031-02-03T04:05:06+00:00", datetime(2031, 2, 3, 4, 5, 6, tzinfo=UTC)),
        # In UTC these are in the years 10000 and 0, which the database keeps and nobody can read again.
        ("9999-12-31T23:59:59-12:00", None),
        ("0001-01-01T00:00:00+14:00", LONG_AGO),
    ],
)
def test_a_moment_can_be_read_again_in_every_zone(given: Any, kept: datetime | None) -> None:
    assert _expires(given) == kept
