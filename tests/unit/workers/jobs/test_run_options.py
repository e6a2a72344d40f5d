"""Options of a run: what is allowed, and the document that schedules keep of them."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.checks import CheckName
from recast.errors import InvalidJobError
from tests.words import unsaid
from workers.jobs.run_options import MAX_DAYS, MAX_LABEL, Format, Only, RunOptions

NAMES = st.text(st.characters(categories=("L", "N")), min_size=1, max_size=40)
REDOS: st.SearchStrategy[dict[str, Any]] = st.just({}) | st.fixed_dictionaries(
    {
        "redo_flagged": st.lists(st.sampled_from(CheckName), min_size=1, max_size=3, unique=True),
        "redo_cap": st.decimals(min_value="0.0001", max_value=9_999_999, places=4),
        "redo_each": st.none() | st.integers(1, 20),
    }
)
OPTIONS = st.builds(
    lambda redos, **others: RunOptions(**redos, **others),
    redos=REDOS,
    format=st.none() | st.sampled_from(Format),
    sheet=st.none() | NAMES,
    account=st.none() | NAMES,
    provider=st.none() | NAMES,
    require_consent=st.booleans(),
    max_cost=st.none() | st.decimals(min_value="0.0001", max_value=9_999_999, places=4),
    max_in_flight=st.none() | st.integers(1, 10_000),
    keep_days=st.none() | st.integers(1, MAX_DAYS),
    label=st.none() | NAMES,
    priority=st.none() | st.integers(-100, 100),
    deadline=st.none()
    | st.timedeltas(timedelta(seconds=1), timedelta(days=MAX_DAYS))
    | st.datetimes(datetime(2900, 1, 1), datetime(2999, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - given one
    only=st.lists(st.sampled_from(Only), max_size=3),
    retry_rejected=st.booleans(),
    fresh=st.booleans(),
)


@given(OPTIONS)
def test_a_document_is_read_as_it_was_written(options: RunOptions) -> None:
    assert RunOptions.read(json.loads(json.dumps(options.document()))) == options


def test_what_is_not_said_is_not_written() -> None:
    assert RunOptions().document() == {}
    assert RunOptions(priority=0).document() == {"priority": 0}


def test_documents_of_the_version_before_are_still_read() -> None:
    before = {
        "account": "main", "provider": "zhiqite", "require_consent": True, "max_cost": "0.50", "max_in_flight": 5,
        "label": "shoes", "priority": -3, "retry_rejected": True, "fresh": True,
    }  # fmt: skip
    assert RunOptions.read(before) == RunOptions(
        account="main", provider="zhiqite", require_consent=True, max_cost=Decimal("0.50"), max_in_flight=5,
        label="shoes", priority=-3, retry_rejected=True, fresh=True,
    )  # fmt: skip
    assert RunOptions.read({"of a later version": 1, "account": ""}) == RunOptions()


@pytest.mark.parametrize(
    ("field", "value", "allowed"),
    [
        ("account", "", ("1", "200")),
        ("provider", 7, ("1", "200")),
        ("require_consent", "no", ("true", "false")),
        ("max_cost", Decimal(0), ("'0'", "12.50")),
        ("max_cost", Decimal("NaN"), ("NaN", "12.50")),
        ("max_cost", Decimal("Infinity"), ("Infinity", "12.50")),
        ("max_cost", 0.5, ("0.5", "12.50")),
        ("max_in_flight", 0, ("1", "2147483647")),
        ("max_in_flight", True, ("1", "2147483647")),
        ("keep_days", 0, ("1", MAX_DAYS)),
        ("keep_days", 1.5, ("1", MAX_DAYS)),
        ("label", " ", ("1", "200")),
        ("label", "x" * (MAX_LABEL + 1), ("1", "200")),
        ("label", "a\nb", ("1", "200")),
        ("priority", 101, ("-100", "100")),
        ("deadline", datetime(2999, 1, 1), ("zone",)),  # noqa: DTZ001 - that is the point
        ("deadline", datetime(2020, 1, 1, tzinfo=UTC), ("2020-01-01", "passed")),
        ("deadline", datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12))), ("9999",)),
        ("deadline", timedelta(0), (MAX_DAYS,)),
        ("deadline", timedelta.max, (MAX_DAYS,)),
        ("deadline", "2h", ("2h", "moment", "start")),
        ("only", ["old"], ("new", "changed", "failed")),
        ("only", 3, ("new", "changed", "failed")),
        ("redo_flagged", ["ugly"], ("ugly", "no_face", "near_duplicate")),
        ("redo_cap", Decimal(0), ("'0'", "12.50")),
        ("redo_each", 0, ("1", "20")),
        ("retry_rejected", 1, ("true", "false")),
        ("fresh", "yes", ("true", "false")),
    ],
)
def test_what_is_not_allowed_names_field_value_and_what_is(field: str, value: Any, allowed: tuple[object, ...]) -> None:
    with pytest.raises(InvalidJobError) as caught:
        RunOptions(**{field: value})
    assert caught.value.field == field
    assert unsaid(caught.value.message, *allowed) == []
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"redo_flagged": ["no_face"]}, "redo_cap"),
        ({"redo_cap": Decimal(1)}, "redo_flagged"),
        ({"redo_each": 2}, "redo_each"),
        ({"redo_cap": Decimal(1), "redo_each": 2}, "redo_flagged"),
    ],
)
def test_redos_of_flagged_pictures_need_checks_and_a_limit(given: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidJobError) as caught:
        RunOptions(**given)
    assert caught.value.field == field
    assert unsaid(str(caught.value), "redo_flagged") == []


def test_every_field_is_checked() -> None:
    for field in fields(RunOptions):
        with pytest.raises(InvalidJobError, match=f"^{field.name}: "):
            RunOptions(**{field.name: object()})  # type: ignore[arg-type]


def test_values_are_kept_in_one_form() -> None:
    options = RunOptions(label=" spring ", only=["new", "failed"])  # type: ignore[list-item]
    assert (options.label, options.only) == ("spring", (Only.NEW, Only.FAILED))
    assert RunOptions(only="new").only == (Only.NEW,)  # type: ignore[arg-type]


def test_a_deadline_may_be_counted_from_the_start() -> None:
    start, moment = datetime(2999, 1, 1, tzinfo=UTC), datetime(2999, 6, 1, tzinfo=UTC)
    assert RunOptions(deadline=timedelta(hours=2)).deadline_from(start) == start + timedelta(hours=2)
    assert RunOptions(deadline=moment).deadline_from(start) == moment
    assert RunOptions().deadline_from(start) is None
