"""Bill, books and plan agree under every fault: all kinds are tried, a few of them in each run of the tests."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from sandbox.faults import Kind, Rule
from tests.money.books import Books, table
from tests.money.cases import CASES, rules
from tests.money.deployment import deployed

FINE = Books(
    case="fail", jobs=3, fired=1, attempts=3, at_most=Decimal("0.06"), billed=Decimal("0.04"), booked=Decimal("0.04"),
    denied=Decimal(0), made=1, rejected=1, failed=1,
)  # fmt: skip


def test_every_fault_of_the_sandbox_is_tried_in_a_form_that_it_takes() -> None:
    assert set(CASES) - {"none"} == set(get_args(Kind))
    for case in CASES:
        assert all(Rule.model_validate(rule).fault == case for rule in rules(case))


def test_kept_promises_are_not_wrong() -> None:
    assert list(FINE.wrong()) == []
    assert list(replace(FINE, billed=Decimal("0.06"), denied=Decimal("0.02")).wrong()) == []


@pytest.mark.parametrize(
    "broken",
    [
        replace(FINE, booked=Decimal("0.02")),
        replace(FINE, at_most=Decimal("0.03")),
        replace(FINE, made=0),
        replace(FINE, fired=0),
        replace(FINE, found=("a line is nobody's",)),
    ],
)
def test_a_broken_promise_is_wrong(broken: Books) -> None:
    assert len(list(broken.wrong())) == 1
    assert "fail" in table([broken])


@pytest.mark.long
def test_bill_books_and_plan_agree_where_pictures_are_bad_and_answers_are_lost(tmp_path: Path) -> None:
    with deployed(tmp_path) as deployment:
        lines = [deployment.run(case, 45) for case in ("fail", "error5xx", "expired_url")]
    assert [wrong for line in lines for wrong in line.wrong()] == []
