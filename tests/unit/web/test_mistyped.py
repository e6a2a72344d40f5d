"""What is said of requests that do not fit: the field as the request has it, and what is allowed in plain words."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from models.checks import ASKED_CHECKS
from tests.words import unsaid
from web.api.asks import CancelAsk, FilterAsk, JobsQuery, PlanAsk, PriorityAsk, VerdictAsk, VerdictsAsk
from web.api.mistyped import of_json, of_query
from web.api.problems import ProblemError

PLAN = {"name": "spring", "rows": [{}]}


@pytest.mark.parametrize(
    ("model", "said", "field", "allowed"),
    [
        (CancelAsk, {"filter": {"jobs": []}}, "filter.jobs", "1 or more"),
        (CancelAsk, {"filter": {"batch": ""}}, "filter.batch", "1 or more characters"),
        (CancelAsk, {"filter": {"batch": "x" * 501}}, "filter.batch", "up to 500 characters"),
        (CancelAsk, {"filter": {"batch": 7}}, "filter.batch", "text"),
        (CancelAsk, {"filter": {"jobs": ["a", 7]}}, "filter.jobs.1", "text"),
        (CancelAsk, {"filter": {"jobs": "a"}}, "filter.jobs", "a list"),
        (CancelAsk, {"filter": {"singles": "yes"}}, "filter.singles", "true, false"),
        (CancelAsk, {"filter": {"older": "long"}}, "filter.older", None),
        (CancelAsk, {"filter": "all"}, "filter", "an object"),
        (CancelAsk, {"filter": {"batches": ["a"]}}, "filter.batches", ", ".join(FilterAsk.model_fields)),
        (CancelAsk, {"filter": {}, "dry": True}, "dry", "filter, dry_run, abandon"),
        (CancelAsk, {}, "filter", None),
        (PriorityAsk, {"filter": {}, "priority": 101}, "priority", "up to 100"),
        (PriorityAsk, {"filter": {}, "priority": "1"}, "priority", "a whole number"),
        (VerdictsAsk, {"filter": {"check": ["ugly"]}}, "filter.check.0", ", ".join(ASKED_CHECKS)),
        (VerdictAsk, {"verdict": "fine", "based_on": 0}, "verdict", "'unreviewed', 'approved' or 'needs_work'"),
        (VerdictAsk, {"verdict": "approved", "based_on": -1}, "based_on", "0 or more"),
        *(
            (PlanAsk, PLAN | {"options": {"deadline": wrong}}, "options.deadline", "a moment, a time as in 2h")
            for wrong in (7, True, "soon", "2026-13-01")
        ),
    ],
)  # fmt: skip
def test_a_mistake_is_named_in_the_words_of_the_request(
    model: type[BaseModel], said: dict[str, Any], field: str, allowed: str | None
) -> None:
    with pytest.raises(ProblemError) as caught:
        of_json(model, json.dumps(said))
    found = caught.value
    assert (found.field, found.allowed) == (field, allowed)
    assert unsaid(found.detail, field, *([allowed] if allowed else [])) == []
    for words in ("Input should", "Extra inputs", "Field required", "Value error", "should have"):
        assert words not in f"{found.detail} {found.allowed}"


def test_a_query_is_all_text() -> None:
    assert of_query(JobsQuery, {"limit": "5"}).limit == 5
    with pytest.raises(ProblemError) as caught:
        of_query(JobsQuery, {"limit": "many"})
    assert (caught.value.field, caught.value.value, caught.value.allowed) == ("limit", "many", "a whole number")
