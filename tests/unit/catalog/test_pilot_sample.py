"""The sample of a pilot: its size, and the shares of folders and lanes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.pilot import shares, size_of
from recast.errors import InvalidJobError
from tests.words import names
from workers.jobs.lanes import PARKED, WAITING, bare, holds
from workers.jobs.run_options import RunOptions

STRATA = st.dictionaries(st.tuples(st.sampled_from("abcdef"), st.sampled_from("xyz")), st.integers(1, 500), min_size=1)


@pytest.mark.parametrize(
    ("size", "rows", "sample"),
    [
        ("1%", 1_000, 10),
        ("1%", 1_001, 11),
        ("1%", 3, 1),
        ("0.5%", 1_000, 5),
        ("100%", 7, 7),
        ("25", 40, 25),
        ("9", 3, 3),
    ],
)
def test_a_size_is_a_share_rounded_up_or_a_number(size: str, rows: int, sample: int) -> None:
    assert size_of(size, rows) == sample


@given(strata=STRATA, number=st.integers(1, 3_000))
def test_each_stratum_has_its_share(strata: dict[tuple[str, str], int], number: int) -> None:
    found = shares(strata, number)
    rows = sum(strata.values())
    number = min(number, rows)
    assert sum(found.values()) == number
    assert all(0 <= found[each] <= size for each, size in strata.items())
    if number >= len(strata):
        assert all(found.values()), "each has one at least"
    for each, size in strata.items():
        assert found[each] <= max(1, size * number / rows + 1), "and none much more than its share"


@pytest.mark.parametrize("size", ["0", "0%", "101%", "1.5", "-1", "many", "", "1%%", "1000000"])
def test_what_is_no_size_is_refused(size: str) -> None:
    with pytest.raises(InvalidJobError, match=names("pilot", "1%")):
        RunOptions(pilot=size)


def test_a_lane_is_found_behind_all_that_holds_it_back() -> None:
    for lane in ("zhiqite.swap", "main@zhiqite.swap|piktid.swap"):
        for held in ("", PARKED, WAITING, PARKED + WAITING, WAITING + PARKED):
            assert (bare(held + lane), holds(held + lane)) == (lane, held)
