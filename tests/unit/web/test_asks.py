"""What programs ask of a run: the options of a plan become `RunOptions`, or a problem that names the field."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from models.checks import CheckName
from tests.words import unsaid
from web.api.asks import OptionsAsk
from web.api.problems import ProblemError
from web.api.table import ENDPOINTS
from web.api.tools import TOOLS
from workers.jobs.run_options import Only, RunOptions


def test_what_is_asked_becomes_the_options() -> None:
    asked = OptionsAsk.model_validate(
        {
            "account": "main", "max_cost": "12.50 EUR", "redo_flagged": ["no_face"], "redo_cap": "3",
            "label": " shoes ", "deadline": "2h", "only": ["new"],
        }
    )  # fmt: skip
    assert asked.resolve("EUR") == RunOptions(
        account="main", max_cost=Decimal("12.50"), redo_flagged=[CheckName.NO_FACE], redo_cap=Decimal(3), label="shoes",
        deadline=timedelta(hours=2), only=[Only.NEW],
    )  # fmt: skip
    assert OptionsAsk().resolve("EUR") == RunOptions()
    moment = OptionsAsk.model_validate({"deadline": "2999-01-31T18:00Z"}).resolve("EUR").deadline
    assert moment == datetime(2999, 1, 31, 18, tzinfo=UTC)


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_cost", "12.50 USD"), ("max_cost", "0"), ("redo_cap", "much"), ("priority", 101), ("keep_days", 0)],
)
def test_what_is_not_allowed_is_a_problem_of_its_field(field: str, value: Any) -> None:
    asked = OptionsAsk.model_validate({field: value})
    with pytest.raises(ProblemError) as caught:
        asked.resolve("EUR")
    assert (caught.value.field, caught.value.value) == (field, value)
    assert unsaid(caught.value.detail, field) == []


#: Lists that choose nothing: an empty one says that there is none.
SAID = {"reasons", "redo_flagged"}


def lists(model: type[BaseModel]) -> Iterator[tuple[str, bool]]:
    """The lists that a model asks for, with those of the models in it: the name, and whether it may be empty."""
    for name, field in model.model_fields.items():
        parts = (field.annotation, *get_args(field.annotation))
        if any(get_origin(part) is list for part in parts):
            yield name, not any(getattr(each, "min_length", 0) for each in field.metadata)
        for part in parts:
            if isinstance(part, type) and issubclass(part, BaseModel):
                yield from lists(part)


def test_no_list_that_came_out_empty_chooses_everything() -> None:
    models = {model for each in ENDPOINTS for model in (each.query, each.body, each.upload) if model is not None}
    found = {each for model in (*models, *(tool.ask for tool in TOOLS.values())) for each in lists(model)}
    assert {("jobs", False), ("state", False), ("check", False), ("only", False), ("reasons", True)} <= found
    assert {name for name, may_be_empty in found if may_be_empty} == SAID
