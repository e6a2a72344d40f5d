"""Which requests are answered first when many come at the same time."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from tests.stack import crowding
from web.connections import CONNECTION
from web.front import MAX_HEADERS, PAUSE_SECONDS, Front, cut, refusal
from web.peers import KEY

SIGNED = "/signed"


class House:
    """An application behind a front, and in which order requests came in."""

    def __init__(self, **limits: int) -> None:
        self.came: list[str] = []
        self.statuses: list[int] = []
        self.front = Front(self._answer, lambda path: path == SIGNED, **limits)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.came.append(scope["client"][0] if scope["path"] != SIGNED else SIGNED)
        await scope.get("until", asyncio.sleep)(0)

    async def ask(self, host: str, path: str = "/", **more: Any) -> None:
        async def send(message: Any) -> None:
            if "status" in message:
                self.statuses.append(message["status"])

        scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
                 "headers": [], "http_version": "1.1", "client": (host, 1), **more}  # fmt: skip
        await self.front(scope, asyncio.Event().wait, send)  # type: ignore[arg-type]


def told(story: Callable[[House], Awaitable[None]], **limits: int) -> House:
    """The house after a story."""

    async def whole() -> House:
        house = House(**limits)
        await story(house)
        return house

    return asyncio.run(whole())


def test_a_signed_request_waits_for_none_of_a_crowd() -> None:
    async def story(house: House) -> None:
        crowd = [asyncio.create_task(house.ask("192.0.2.1")) for _ in range(200)]
        await asyncio.sleep(0)
        await house.ask("192.0.2.1", SIGNED)
        assert len(house.came) < 5
        await asyncio.gather(*crowd)

    house = told(story)
    assert SIGNED in house.came
    assert len(house.came) == 201


def test_another_address_waits_for_one_request_of_the_crowds() -> None:
    async def story(house: House) -> None:
        crowd = [asyncio.create_task(house.ask("192.0.2.1")) for _ in range(100)]
        await asyncio.sleep(0)
        await house.ask("192.0.2.2")
        for task in crowd:
            task.cancel()

    assert len(told(story).came) <= 4


def test_a_page_with_its_pictures_does_not_feel_the_turns() -> None:
    async def story(house: House) -> None:
        async def line() -> None:
            for _ in range(10):
                await house.ask("192.0.2.1")

        clock = asyncio.get_running_loop().time
        began = clock()
        await asyncio.gather(*(line() for _ in range(6)))
        assert clock() - began < 60 * PAUSE_SECONDS * crowding()

    assert len(told(story).came) == 60


def test_a_burst_of_callbacks_has_no_turns() -> None:
    async def story(house: House) -> None:
        burst = [asyncio.create_task(house.ask("192.0.2.1", SIGNED)) for _ in range(50)]
        await asyncio.sleep(0)
        assert house.came == [SIGNED] * 50
        await asyncio.gather(*burst)

    told(story)


def test_a_long_answer_keeps_no_turn() -> None:
    async def story(house: House) -> None:
        async def never(_: int) -> None:
            await asyncio.Event().wait()

        long = [asyncio.create_task(house.ask("192.0.2.1", until=never)) for _ in range(20)]
        await asyncio.sleep(0)
        await house.ask("192.0.2.1")
        assert len(house.came) == 21
        for task in long:
            task.cancel()

    told(story)


def test_a_client_that_is_gone_has_no_turn() -> None:
    class Line:
        turn: asyncio.Future[bool] | None = None

    async def story(house: House) -> None:
        lines = [Line() for _ in range(50)]
        scopes: list[dict[str, Any]] = [{CONNECTION: line} for line in lines]
        asked = [asyncio.create_task(house.ask("192.0.2.1", **each)) for each in scopes]
        await asyncio.sleep(0)
        for line in lines:
            if line.turn is not None:
                line.turn.set_result(False)
        await asyncio.gather(*asked)
        await house.ask("192.0.2.1")

    house = told(story)
    assert (house.came, house.statuses) == (["192.0.2.1"] * 2, [])


def test_guesses_behind_a_proxy_leave_signed_requests_their_places_and_direct_ones_are_counted_once() -> None:
    async def story(house: House) -> None:
        async def never(_: int) -> None:
            await asyncio.Event().wait()

        crowd = [asyncio.create_task(house.ask("192.0.2.1", until=never, **{KEY: "10.0.0.1"})) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert house.statuses == [429]
        await house.ask("192.0.2.1", SIGNED, **{KEY: "10.0.0.1"})
        await house.ask("192.0.2.1", **{KEY: "192.0.2.1"})
        for task in crowd:
            task.cancel()

    house = told(story, per_place=2)
    assert (len(house.came), house.statuses) == (4, [429])


@pytest.mark.parametrize(
    "part",
    [
        {"raw_path": b"/" + bytes(100_000), "path": "/" + "x" * 100_000},
        {"query_string": bytes(100_000)},
        {"headers": [(b"x", b"y")] * 10_000},
        {"headers": [(b"x", bytes(100_000))]},
        {"headers": [(b"host", b"x")] * 2},
    ],
    ids=["a long path", "a long query", "many headers", "a long header", "two hosts"],
)
def test_little_is_kept_of_a_request_that_is_refused_and_the_reason_stays(part: dict[str, Any]) -> None:
    scope = {"path": "/", "raw_path": b"/", "query_string": b"", "headers": [], "http_version": "1.1", **part}
    before = refusal(scope)
    cut(scope)
    assert before == refusal(scope) is not None
    assert len(repr(scope)) < 10 * MAX_HEADERS


def test_nothing_is_cut_of_a_request_that_is_answered() -> None:
    headers = [(b"host", b"x"), (b"cookie", bytes(8_000))]
    scope: dict[str, Any] = {"path": "/a", "raw_path": b"/a", "query_string": b"b", "headers": headers,
                             "http_version": "1.1"}  # fmt: skip
    before = copy.deepcopy(scope)
    cut(scope)
    assert scope == before
