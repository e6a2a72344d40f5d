"""Releases: what the dates of their ends mean, and what is said of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from desk.releases import ListedRelease, ReleaseError, end_of
from tests.words import names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-06-30", datetime(2027, 6, 30, 23, 59, 59, 999_999, UTC)),
        ("2027-06-30T18:00Z", datetime(2027, 6, 30, 18, 0, tzinfo=UTC)),
        ("2027-06-30T18:00+02:00", datetime(2027, 6, 30, 16, 0, tzinfo=UTC)),
        ("2027-06-30 18:00", datetime(2027, 6, 30, 18, 0, tzinfo=UTC)),
    ],
)
def test_a_date_holds_to_the_end_of_its_day(written: str, meant: datetime) -> None:
    assert end_of(written) == meant
    assert end_of(ListedRelease("R-1", meant, None, None).until) == meant, "a page gives it back as it was"


@pytest.mark.parametrize("written", ["", "soon", "30.6.2027", "2027-13-01"])
def test_what_is_no_date_is_named(written: str) -> None:
    with pytest.raises(ReleaseError, match=names("2027-06-30")):
        end_of(written)


@pytest.mark.parametrize(
    ("kinds", "labels", "end", "said"),
    [
        (None, None, None, "holds for all kinds of jobs, without an end"),
        (["swap"], ["summer", "shoes"], None, "holds for swap in batches labeled summer or shoes, without an end"),
        (None, None, datetime(2020, 1, 2, tzinfo=UTC), "held for all kinds of jobs until 2020-01-02 00:00:00"),
    ],
)
def test_what_it_allows_is_said_in_a_sentence(
    kinds: list[str] | None, labels: list[str] | None, end: datetime | None, said: str
) -> None:
    assert ListedRelease("R-1", end, kinds, labels).scope == said
