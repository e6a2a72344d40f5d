"""Answers for everybody: made once for all who want one."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import Engine
from starlette.applications import Starlette
from starlette.routing import Route

from tests.http import ASGITransport, AsyncClient
from web.health import Health
from web.shared import Shared


class Source:
    """What is asked, and how often it was."""

    def __init__(self) -> None:
        self.asked, self.fails = 0, False

    async def make(self) -> int:
        self.asked += 1
        await asyncio.sleep(0)
        if self.fails:
            raise ConnectionError
        return self.asked


def test_a_crowd_makes_one_answer_which_lasts_a_while() -> None:
    async def story() -> None:
        source = Source()
        shared = Shared(60.0, source.make)
        assert await asyncio.gather(*(shared.get() for _ in range(100))) == [1] * 100
        assert await shared.get() == 1
        brief = Shared(0.0, source.make)
        assert [await brief.get(), await brief.get()] == [2, 3]

    asyncio.run(story())


def test_a_failure_is_told_to_all_who_wait_and_not_kept() -> None:
    async def story() -> None:
        source = Source()
        shared = Shared(60.0, source.make)
        source.fails = True
        told = await asyncio.gather(*(shared.get() for _ in range(20)), return_exceptions=True)
        assert {type(each) for each in told} == {ConnectionError}
        assert source.asked == 1
        source.fails = False
        assert await shared.get() == 2

    asyncio.run(story())


def test_who_gives_up_ends_it_for_nobody_else() -> None:
    async def story() -> None:
        shared = Shared(60.0, Source().make)
        first, second = (asyncio.create_task(shared.get()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 1

    asyncio.run(story())


def test_many_health_checks_cost_one_look_at_the_database(monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def look(_: Health) -> bool:
        nonlocal looks
        looks += 1
        return True

    monkeypatch.setattr(Health, "_database_answers", look)
    app = Starlette(routes=[Route("/healthz", Health(Engine.__new__(Engine)).show)])

    async def story() -> set[int]:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://recast") as client:
            answers = await asyncio.gather(*(client.get("/healthz") for _ in range(100)))
            return {answer.status_code for answer in answers}

    assert asyncio.run(story()) == {200}
    assert looks <= 2
