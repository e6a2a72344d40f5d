"""Looks of visitors: few at a time of each, and of all guests of a batch together."""

from __future__ import annotations

import asyncio

from desk.actors import Actor
from models.people import Role
from web import looks
from web.looks import AT_ONCE, Looks, seconds_for

ANNA = Actor("Anna", Role.REVIEWER)
GINA, GREG = (Actor(f"{name} (guest)", Role.VIEWER, "guest", 7) for name in ("Gina", "Greg"))


def test_guests_of_a_batch_wait_for_each_other_and_for_nobody_else() -> None:
    async def story() -> None:
        turns, ends = Looks(), asyncio.Event()
        began: list[str] = []

        async def one(actor: Actor) -> None:
            async with turns.turn(actor):
                began.append(actor.name)
                await ends.wait()

        tasks = [asyncio.create_task(one(actor)) for actor in (GINA, GREG, GINA, GREG, ANNA)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert began == [GINA.name, GREG.name, ANNA.name]
        assert began.count(GINA.name) + began.count(GREG.name) == AT_ONCE
        ends.set()
        await asyncio.gather(*tasks)
        assert len(began) == len(tasks)

    asyncio.run(story())


def test_the_database_looks_for_less_long_for_guests() -> None:
    assert seconds_for(GINA) == looks.GUESTS_SECONDS < seconds_for(ANNA)
