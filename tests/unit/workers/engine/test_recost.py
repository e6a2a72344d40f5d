"""What an attempt costs once the provider says how many pictures it makes."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from models.states import AttemptState
from providers import operation
from tests.words import unsaid
from workers.config.accounts import Account, parse
from workers.engine.effects import Effects
from workers.engine.recost import recosted
from workers.jobs.state_changes import AttemptMove

VARIATION = operation("hidream.variation")
MOVE = Effects(AttemptMove(uuid.uuid4(), AttemptState.RUNNING, error="before"))


def account(price: str) -> Account:
    return parse(
        "main", {"provider": "hidream", "base_url": "http://127.0.0.1:9", "token": "t", "prices": {"variation": price}}
    )


def test_the_most_that_a_template_makes_is_booked_before_it_is_sent() -> None:
    assert account("0.10 USD/picture").cost(VARIATION, {"template_id": 1}) == Decimal("0.10") * VARIATION.most
    assert account("0.10 USD").cost(VARIATION, {"template_id": 1}) == Decimal("0.10")
    assert VARIATION.most > 1


@pytest.mark.parametrize("pictures", [1, 3, 4, 6])
def test_then_what_it_makes(pictures: int) -> None:
    attempt = recosted(MOVE, account("0.10 USD/picture"), VARIATION, pictures).attempt
    assert attempt is not None
    assert attempt.cost == Decimal("0.10") * pictures
    more = pictures > VARIATION.most
    assert (unsaid(attempt.error or "", pictures, VARIATION.most) == []) is more
    assert (attempt.error == "before") is not more


@pytest.mark.parametrize(("price", "pictures"), [("0.10 USD", 3), ("0.10 USD/picture", None), ("0.10 USD/picture", 0)])
def test_a_call_has_its_price_and_an_unknown_number_changes_nothing(price: str, pictures: int | None) -> None:
    assert recosted(MOVE, account(price), VARIATION, pictures) == MOVE


def test_the_number_that_an_option_asks_for_stands() -> None:
    """Qolaba bills the pictures that were asked for, whatever passes its checks."""
    prices = {"prices": {"consistency": "0.10 USD/picture"}, "token": "t", "base_url": "http://127.0.0.1:9"}
    qolaba = parse("main", {"provider": "qolaba", **prices})
    assert recosted(MOVE, qolaba, operation("qolaba.consistency"), 1) == MOVE
