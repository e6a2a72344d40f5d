"""`recast releases`: what its dates mean."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import typer

from cli.releases import _end_of
from tests.words import names


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2027-06-30", datetime(2027, 6, 30, 23, 59, 59, 999_999, UTC)),
        ("2027-06-30T18:00Z", datetime(2027, 6, 30, 18, 0, tzinfo=UTC)),
        ("2027-06-30T18:00+02:00", datetime(2027, 6, 30, 16, 0, tzinfo=UTC)),
        ("2027-06-30 18:00", datetime(2027, 6, 30, 18, 0, tzinfo=UTC)),
        (None, None),
    ],
)
def test_a_date_holds_to_the_end_of_its_day(written: str | None, meant: datetime | None) -> None:
    assert _end_of(written) == meant


@pytest.mark.parametrize("written", ["", "soon", "30.6.2027", "2027-13-01"])
def test_what_is_no_date_is_named(written: str) -> None:
    with pytest.raises(typer.BadParameter, match=names("2027-06-30")):
        _end_of(written)
