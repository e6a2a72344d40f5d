"""Calls in flight: counted, waited for, and none forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import nullcontext
from typing import Any

import pytest
from structlog.testing import capture_logs

from workers.engine.in_flight import InFlight


def go(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 30))


def test_a_place_is_free_again_when_its_call_has_ended() -> None:
    async def story() -> None:
        gates = [asyncio.Event() for _ in range(2)]
        calls = InFlight(3)

        async def call(gate: asyncio.Event) -> None:
            await gate.wait()

        for number, gate in enumerate(gates):
            calls.start(call(gate), key=number)
        assert (len(calls), calls.free) == (2, 1)
        assert calls.by_key() == {0: 1, 1: 1}

        gates[0].set()
        await calls.wait(30)
        assert (len(calls), calls.free) == (1, 2)
        assert calls.by_key() == {1: 1}
        gates[1].set()
        await calls.wait_for_all()
        assert not calls

    go(story())


@pytest.mark.parametrize("fails", [False, True])
def test_the_context_ends_when_every_call_has(fails: bool) -> None:
    ended: list[int] = []

    async def story() -> None:
        async def call(turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            ended.append(turns)

        async with InFlight() as calls:
            for turns in (3, 30, 300):
                calls.start(call(turns))
            if fails:
                raise RuntimeError("in between")

    with pytest.raises(RuntimeError) if fails else nullcontext():
        go(story())
    assert ended == [3, 30, 300]


def test_a_nudge_ends_the_wait_and_is_used_up() -> None:
    async def story() -> None:
        nudged = asyncio.Event()
        async with InFlight() as calls:
            calls.start(asyncio.Event().wait())  # type: ignore[arg-type]  # never ends
            nudged.set()
            await calls.wait(1_000, nudged)
            assert not nudged.is_set()
            assert len(calls) == 1
            await calls.wait(0.0, nudged)
            calls.cancel()

    go(story())


def test_nothing_to_wait_for_is_no_wait() -> None:
    go(InFlight().wait(1_000))


def test_a_call_that_raises_is_logged_and_the_others_go_on() -> None:
    async def story() -> None:
        ended: list[bool] = []

        async def mistake() -> None:
            raise ZeroDivisionError("a mistake of ours")

        async def call() -> None:
            await asyncio.sleep(0.01)
            ended.append(True)

        async with InFlight() as calls:
            calls.start(call())
            calls.start(mistake())
        assert ended == [True]

    with capture_logs() as lines:
        go(story())
    assert [line["event"] for line in lines] == ["call_failed"]
    assert isinstance(lines[0]["exc_info"], ZeroDivisionError)


def test_a_canceled_call_is_no_failure() -> None:
    async def story() -> None:
        async with InFlight() as calls:
            calls.start(asyncio.sleep(1_000))
            await asyncio.sleep(0)
            calls.cancel()

    with capture_logs() as lines:
        go(story())
    assert lines == []
