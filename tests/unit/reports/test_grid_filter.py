"""What a grid shows, as addresses say it."""

from __future__ import annotations

import pytest

from models.checks import ANY_CHECK, CheckName
from models.states import JobState
from reports.grid_filter import ALLOWED, DEAR_MOST, GridFilter, Sort
from reports.queries import MAX_CHARS, QueryError
from reports.reviews import PARTS, Part
from tests.words import names
from workers.jobs.filters import Filter

EVERYTHING = {
    "part": "made", "state": "succeeded", "verdict": "needs_work", "check": "blurred", "reason": "hair", "noted": "yes",
    "operation": "zhiqite.swap", "account": "main", "key": "shoe", "metadata": "color=red", "sort": "worst",
}  # fmt: skip


def test_an_address_is_read_as_it_is_written() -> None:
    assert GridFilter.of(EVERYTHING).query == EVERYTHING
    assert GridFilter.of({}) == GridFilter() == GridFilter.of({"state": "", "sort": "catalog", "after": "7"})
    assert GridFilter().query == {}


@pytest.mark.parametrize("name", ALLOWED)
def test_a_value_that_is_not_known_is_named_with_what_is_allowed(name: str) -> None:
    with pytest.raises(QueryError, match=names(name, "nonsense", *ALLOWED[name])):
        GridFilter.of({name: "nonsense"})


@pytest.mark.parametrize("value", ["x" * (MAX_CHARS + 1), "a\0b"])
def test_a_text_that_no_database_could_look_for_is_refused(value: str) -> None:
    with pytest.raises(QueryError, match=names("key", MAX_CHARS)):
        GridFilter.of({"key": value})


def test_a_choice_keeps_the_others() -> None:
    shown = GridFilter.of(EVERYTHING)
    assert shown.but(state="failed").query == {**EVERYTHING, "state": "failed"}
    without = {name: value for name, value in EVERYTHING.items() if name != "check"}
    assert shown.but(check=None).query == without
    assert shown.conditions.keys() == EVERYTHING.keys() - {"sort"}


def test_lists_and_bulk_operations_mean_the_same_jobs() -> None:
    assert GridFilter.of(EVERYTHING).which("spring") == Filter(
        batch="spring", states=["succeeded"], verdict="needs_work", check=["blurred"], fault="hair", noted=True,
        operation="zhiqite.swap", account="main", key="shoe", metadata="color=red",
    )  # fmt: skip
    assert GridFilter(check=ANY_CHECK).which().check == [each.value for each in CheckName]
    assert GridFilter(sort=Sort.WORST).which() == Filter()
    # Only a picture can be unreviewed
    assert GridFilter(verdict="unreviewed").which().states == ["succeeded"]
    assert GridFilter(verdict="unreviewed", state="failed").which().states == []


@pytest.mark.parametrize("part", Part)
def test_a_part_is_the_jobs_that_its_number_counts(part: Part) -> None:
    assert GridFilter(part=part).which() == Filter(states=sorted(PARTS[part]))
    for state in JobState:
        assert GridFilter(part=part, state=state).which().states == ([state] if state in PARTS[part] else [])
    pictures = ["succeeded"] if part is Part.MADE else []
    assert GridFilter(part=part, verdict="unreviewed").which().states == pictures


def test_what_only_some_may_know_is_said() -> None:
    assert GridFilter(account="main").of_money
    assert GridFilter(operation="zhiqite.swap").of_money
    assert GridFilter(sort=Sort.COST).of_money
    assert not GridFilter(key="main").of_money


def test_only_batches_that_are_small_enough_are_sorted_by_cost() -> None:
    for shown, jobs in ((GridFilter(sort=Sort.COST), DEAR_MOST), (GridFilter(sort=Sort.WORST), DEAR_MOST + 1)):
        shown.require_sortable(jobs)
    with pytest.raises(QueryError, match=names("sort", "cost", f"{DEAR_MOST:,}", f"{DEAR_MOST + 1:,}")):
        GridFilter(sort=Sort.COST).require_sortable(DEAR_MOST + 1)
