"""Requests that come while the database is at work are its next group, and none of a group harms another."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import Event

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


@pytest.mark.parametrize("later", [1, 5])
def test_it_goes_on_after_a_pause(later: int) -> None:
    async def story() -> list[int]:
        together = Together(_Work())
        return [await together.ask(number) for number in range(later)]

    assert asyncio.run(story()) == [2 * number for number in range(later)]
