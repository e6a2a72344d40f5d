"""Requests that come while the database is at work are its next group, and none of a group harms another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from threading import Event
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from web.together import AT_ONCE, LARGEST, Together

GONE = OperationalError("SELECT 1", {}, Exception("the server is gone"))


class _Work:
    """Doubles numbers when it may; a number below zero is refused."""

    def __init__(self, error: Exception | None = None) -> None:
        self.groups: list[list[int]] = []
        self.may = Event()
        self.may.set()
        self.error = error

    def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.may.wait(10)
        self.groups.append(list(numbers))
        if self.error is not None:
            raise self.error
        if min(numbers) < 0:
            raise ValueError("below zero")
        return [2 * number for number in numbers]


async def asked(together: Together[int, int], *numbers: int) -> list[int | BaseException]:
    return await asyncio.gather(*(together.ask(number) for number in numbers), return_exceptions=True)


def test_a_request_alone_waits_for_no_company() -> None:
    work = _Work()
    assert asyncio.run(asked(Together(work), 4)) == [8]
    assert work.groups == [[4]]


def test_what_comes_meanwhile_is_one_group_and_each_gets_its_own_answer() -> None:
    work = _Work()
    work.may.clear()

    async def story() -> list[int | BaseException]:
        together = Together(work)
        first = [asyncio.create_task(together.ask(number)) for number in range(AT_ONCE)]
        await asyncio.sleep(0.05)
        rest = asyncio.create_task(asked(together, *range(AT_ONCE, AT_ONCE + LARGEST + 1)))
        await asyncio.sleep(0.05)
        work.may.set()
        return [*await asyncio.gather(*first), *await rest]

    assert asyncio.run(story()) == [2 * number for number in range(AT_ONCE + LARGEST + 1)]
    assert max(map(len, work.groups)) == LARGEST
    assert len(work.groups) <= AT_ONCE + 2


def test_one_that_is_refused_harms_no_other() -> None:
    answers = asyncio.run(asked(Together(_Work()), 1, 2, -3, 4, -5))
    assert [answer for answer in answers if isinstance(answer, int)] == [2, 4, 8]
    assert [str(answer) for answer in answers if isinstance(answer, ValueError)] == ["below zero"] * 2


def test_a_database_that_is_away_is_asked_once_for_a_group() -> None:
    work = _Work(GONE)
    answers = asyncio.run(asked(Together(work), *range(10)))
    assert answers == [GONE] * 10
    assert len(work.groups) <= AT_ONCE + 1


def test_who_hung_up_holds_up_nobody() -> None:
    work = _Work()
    work.may.clear()

    async def story() -> list[int]:
        together = Together(work)
        gone = [asyncio.create_task(together.ask(number)) for number in range(AT_ONCE + 1)]
        await asyncio.sleep(0.05)
        stays = asyncio.create_task(together.ask(7))
        await asyncio.sleep(0)
        for each in gone:
            each.cancel()
        work.may.set()
        return [await stays, await together.ask(8)]

    assert asyncio.run(asyncio.wait_for(story(), 10)) == [14, 16]


def test_who_asks_in_the_moment_in_which_the_last_groups_end_is_answered() -> None:
    """Ends of both groups, and a request behind them, in one turn of the event loop."""
    calls: list[asyncio.Future[None]] = []

    async def in_turn(work: Any, values: Sequence[int]) -> list[int]:
        calls.append(asyncio.get_running_loop().create_future())
        await calls[-1]
        return [*work(values)]

    async def story() -> list[int]:
        together = Together(_Work())
        first = asyncio.create_task(together.ask(1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        second = asyncio.create_task(together.ask(2))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert len(calls) == AT_ONCE
        for call in calls:
            call.set_result(None)
        # After the groups' own steps, before anything else that follows from them.
        last = asyncio.create_task(together.ask(3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for call in calls[AT_ONCE:]:
            call.set_result(None)
        return [await first, await second, await last]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("web.together.run_in_threadpool", in_turn)
        assert asyncio.run(asyncio.wait_for(story(), 5)) == [2, 4, 6]


def test_a_database_that_goes_away_midway_is_not_asked_for_each_of_the_rest() -> None:
    asked_for: list[list[int]] = []

    def work(values: Sequence[int]) -> list[int]:
        asked_for.append(list(values))
        if len(values) > 1:
            raise ValueError("one is refused")
        if values[0] > 1:
            raise GONE
        return list(values)

    async def story() -> list[int | BaseException]:
        together = Together(work)
        return await asyncio.gather(*(together.ask(number) for number in range(10)), return_exceptions=True)

    answers = asyncio.run(story())
    assert answers[:2] == [0, 1]
    assert answers[2:] == [GONE] * 8
    assert asked_for[1:] == [[0], [1], [2]]


def test_who_gave_up_before_its_turn_is_not_asked_for() -> None:
    work = _Work()
    work.may.clear()

    async def story() -> int:
        together = Together(work)
        first = []
        for number in range(AT_ONCE):
            first.append(asyncio.create_task(together.ask(number)))
            await asyncio.sleep(0.05)  # in a group of its own
        gone = [asyncio.create_task(together.ask(number)) for number in range(50, 60)]
        stays = asyncio.create_task(together.ask(7))
        await asyncio.sleep(0.05)
        for each in gone:
            each.cancel()
        await asyncio.sleep(0)
        work.may.set()
        await asyncio.gather(*first)
        return await stays

    assert asyncio.run(story()) == 14
    assert sorted(work.groups) == [[number] for number in range(AT_ONCE)] + [[7]]


def test_an_answer_too_few_is_an_error_for_all() -> None:
    def short(values: Sequence[int]) -> list[int]:
        return list(values)[:-1]

    answers = asyncio.run(asked(Together(short), 1, 2))
    assert [type(answer) for answer in answers] == [ValueError, ValueError]


def test_what_is_bound_to_one_request_is_not_the_others() -> None:
    bound: ContextVar[str] = ContextVar("bound", default="")

    def look(values: Sequence[int]) -> list[str]:
        return [bound.get()] * len(values)

    async def story() -> str:
        bound.set("of one request")
        return await Together(look).ask(1)

    assert asyncio.run(story()) == ""


@pytest.mark.parametrize("later", [1, 5])
def test_it_goes_on_after_a_pause(later: int) -> None:
    async def story() -> list[int]:
        together = Together(_Work())
        return [await together.ask(number) for number in range(later)]

    assert asyncio.run(story()) == [2 * number for number in range(later)]
