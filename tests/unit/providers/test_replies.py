"""Retry-After in both of its forms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from providers.protocol import Reply
from providers.replies import MAX_RETRY_AFTER_SECONDS, retry_after

NOON = "Sat, 21 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Sat, 21 Nov 2026 12:01:30 GMT", 90.0),
        ("Saturday, 21-Nov-26 12:01:30 GMT", 90.0),
        ("Sat Nov 21 12:01:30 2026", 90.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),
        ("999999999", MAX_RETRY_AFTER_SECONDS),
        ("nan", None),
        ("inf", None),
        ("", None),
        ("in a minute", None),
        ("Sat, 99 Nov 2026 12:00:00 GMT", None),
    ],
)
def test_retry_after(value: str, seconds: float | None) -> None:
    assert retry_after(Reply(429, {"retry-after": value, "date": NOON}, b"")) == seconds


def test_without_a_date_of_theirs_ours_counts() -> None:
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    found = retry_after(Reply(429, {"retry-after": until}, b""))
    assert found is not None
    assert 90 < found <= 100
