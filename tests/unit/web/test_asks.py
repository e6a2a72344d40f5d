"""What programs ask of a run: the options of a plan become `RunOptions`, or a problem that names the field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from models.checks import CheckName
from tests.words import unsaid
from web.api.asks import OptionsAsk
from web.api.problems import ProblemError
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
