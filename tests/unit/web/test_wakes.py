"""Pumps are woken apart from answers, each once, and what cannot be woken stops nothing."""

from __future__ import annotations

import asyncio
from queue import Queue
from threading import Event

import pytest

from models.transactions import Database
from web import wakes
from web.wakes import Wakes

DATABASE = Database("postgresql+psycopg://nowhere/none")
Woken = Queue[tuple[str, ...]]


async def next_of(woken: Woken) -> tuple[str, ...]:
    return await asyncio.to_thread(woken.get, timeout=5)


def test_who_asks_while_others_are_woken_is_next_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    may, woken = Event(), Woken()

    def slow(_: Database, *pumps: str) -> None:
        may.wait(5)
        woken.put(pumps)

    monkeypatch.setattr(wakes, "wake", slow)

    async def story() -> list[tuple[str, ...]]:
        pumps = Wakes(DATABASE)
        pumps.soon("a")
        await asyncio.sleep(0.05)
        for account in ("c", "b", "c", "a"):
            pumps.soon(account)
        may.set()
        return [await next_of(woken), await next_of(woken)]

    assert asyncio.run(story()) == [("poll:a",), ("poll:a", "poll:b", "poll:c")]
    assert woken.empty()


def test_it_goes_on_after_what_cannot_be_woken(monkeypatch: pytest.MonkeyPatch) -> None:
    woken = Woken()

    def refused(_: Database, *pumps: str) -> None:
        woken.put(pumps)
        raise RuntimeError("no such server")

    monkeypatch.setattr(wakes, "wake", refused)

    async def story() -> list[tuple[str, ...]]:
        pumps, found = Wakes(DATABASE), []
        for number in range(3):
            pumps.soon(f"a{number}")
            found.append(await next_of(woken))
        return found

    assert asyncio.run(story()) == [("poll:a0",), ("poll:a1",), ("poll:a2",)]
