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


def test_who_asks_while_its_pump_is_woken_is_heard_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    may, woken = Event(), Woken()

    def slow(_: Database, *pumps: str) -> None:
        may.wait(5)
        woken.put(pumps)

    monkeypatch.setattr(wakes, "wake", slow)

    async def story() -> list[tuple[str, ...]]:
        pumps = Wakes(DATABASE)
        pumps.soon("a")
        await asyncio.sleep(0.05)
        for _ in range(3):
            pumps.soon("a")
        may.set()
        found = [await next_of(woken), await next_of(woken)]
        await pumps.close()
        return found

    assert asyncio.run(story()) == [("poll:a",), ("poll:a",)]
    assert woken.empty()


def test_an_account_whose_lease_is_locked_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    may, woken = Event(), Woken()

    def slow(_: Database, *pumps: str) -> None:
        if pumps == ("poll:locked",):
            may.wait(5)
        woken.put(pumps)

    monkeypatch.setattr(wakes, "wake", slow)

    async def story() -> set[tuple[str, ...]]:
        pumps = Wakes(DATABASE)
        for account in ("locked", "a", "b"):
            pumps.soon(account)
        found = {await next_of(woken), await next_of(woken)}
        may.set()
        await pumps.close()
        return found

    assert asyncio.run(story()) == {("poll:a",), ("poll:b",)}
    assert woken.get_nowait() == ("poll:locked",), "what is under way is waited for at the end"


def test_what_takes_too_long_does_not_hold_up_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    may = Event()
    monkeypatch.setattr(wakes, "CLOSING_SECONDS", 0.1)
    monkeypatch.setattr(wakes, "wake", lambda *_: may.wait(5))

    async def story() -> None:
        pumps = Wakes(DATABASE)
        pumps.soon("a")
        await asyncio.wait_for(pumps.close(), 2)

    try:
        asyncio.run(story())
    finally:
        may.set()


def test_an_application_that_is_opened_again_wakes_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    woken, pumps = Woken(), Wakes(DATABASE)
    monkeypatch.setattr(wakes, "wake", lambda _, *pumps: woken.put(pumps))

    async def story() -> tuple[str, ...]:
        pumps.soon("a")
        found = await next_of(woken)
        await pumps.close()
        return found

    assert [asyncio.run(story()) for _ in range(2)] == [("poll:a",)] * 2


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
