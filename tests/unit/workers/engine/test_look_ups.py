"""Look-ups of what an inbox does not mention: which, in what order, how many beside each other, and when to stop."""

from __future__ import annotations

import asyncio
import math
import threading
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import cast

import pytest

from models.states import AttemptState
from providers.outcomes import Done, Failed, Output, Pending, PollOutcome, Unanswered
from providers.protocol import Provider, UnclearError
from providers.spec import OpenAttempt
from workers.engine import look_ups
from workers.engine.due import Due
from workers.engine.look_ups import AT_ONCE, PER_READ
from workers.http.exchange import clock

DONE = Done((Output("https://p.example/1.png"),))


def due(*, age: float = 100.0, left: float = 500.0) -> Due:
    return Due(
        uuid.uuid4(), "job", 1, "piktid.swap", AttemptState.RUNNING, "image/0", None, 0, 0, None, age, left,
        datetime.now(UTC),
    )  # fmt: skip


@dataclass
class History:
    """A provider that takes a moment for each question and notes how many are open at once."""

    look_up_after: float = 60.0
    fail_at: int = 0
    asked: list[uuid.UUID] = field(default_factory=list)
    open: int = 0
    most: int = 0

    async def look_up(self, attempt: OpenAttempt) -> PollOutcome:
        self.asked.append(attempt.reference)
        number = len(self.asked)
        self.open += 1
        self.most = max(self.most, self.open)
        await asyncio.sleep(0)
        self.open -= 1
        if number == self.fail_at:
            raise UnclearError("reset")
        return DONE


def looked_up(
    history: History, late: list[Due], *, rate: float | None = None, places: int = 100, stopping: bool = False
) -> dict[uuid.UUID, PollOutcome]:
    answers: dict[uuid.UUID, PollOutcome] = {}
    stop = threading.Event()
    if stopping:
        stop.set()

    def answered(item: Due, outcome: PollOutcome) -> None:
        answers[item.id] = outcome

    asyncio.run(
        look_ups.look_up_late(cast("Provider", history), late, answered, rate=rate, places=places, stopping=stop)
    )
    return answers


@pytest.mark.parametrize(
    ("item", "outcome", "late"),
    [
        (due(age=59.0), Pending(), False),
        (due(age=60.0), Pending(), True),
        (due(age=1.0, left=0.0), Pending(), True),  # before the deadline gives it up, whatever its age
        (due(left=-1.0), DONE, False),
        (due(left=-1.0), Failed(reason=None, message="x"), False),  # type: ignore[arg-type]
        (due(left=-1.0), Unanswered("HTTP 502"), False),
        (due(age=90.0), Pending(look_in=9.0), False),  # its event is there
    ],
)
def test_what_is_late(item: Due, outcome: PollOutcome, late: bool) -> None:
    assert look_ups.is_late(cast("Provider", History()), item, outcome) is late
    assert not look_ups.is_late(cast("Provider", History(look_up_after=math.inf)), item, outcome)


def test_a_result_that_is_asked_for_anew_is_looked_up_first_however_young_it_is() -> None:
    young, anew = due(age=5.0), replace(due(age=5.0), refetches=1)
    provider = cast("Provider", History())
    assert not look_ups.is_late(provider, young, Pending())
    assert look_ups.is_late(provider, anew, Pending())
    late = [due(age=100.0) for _ in range(PER_READ)]
    assert look_ups.chosen([*late, anew])[0] is anew


def test_all_past_their_deadlines_are_looked_up_first_and_some_of_the_others() -> None:
    slow, last = [due() for _ in range(3 * PER_READ)], [due(left=-1.0) for _ in range(200)]
    history = History()
    answers = looked_up(history, slow + last)
    assert set(history.asked[:200]) == {item.id for item in last}
    assert len(history.asked) == len(answers) == 200 + PER_READ
    assert history.most == AT_ONCE
    assert all(outcome == DONE for outcome in answers.values())
    # and chance gives each of the others its turn
    assert {item.id for _ in range(60) for item in look_ups.chosen(slow)} == {item.id for item in slow}


def test_a_question_without_an_answer_ends_the_round() -> None:
    """What was not asked about hears nothing: it stays due, and no deadline gives it up."""
    history = History(fail_at=3)
    answers = looked_up(history, [due(left=-1.0) for _ in range(100)])
    assert len(history.asked) == len(answers) <= 3 + AT_ONCE
    assert sum(isinstance(outcome, Unanswered) for outcome in answers.values()) == 1


def test_no_more_connections_are_taken_than_there_are() -> None:
    history = History()
    looked_up(history, [due(left=-1.0) for _ in range(20)], places=2)
    assert history.most == 2


def test_the_accounts_rate_holds() -> None:
    began = clock()
    assert len(looked_up(History(), [due(left=-1.0) for _ in range(11)], rate=100.0)) == 11
    assert clock() - began >= 0.1


def test_a_worker_that_stops_asks_nothing() -> None:
    history = History()
    assert looked_up(history, [due(left=-1.0)], stopping=True) == {}
    assert history.asked == []
