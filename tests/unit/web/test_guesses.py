"""Passwords, guessed by many at the same time: slow for all of them, and never too long for who knows the password."""

from __future__ import annotations

import asyncio
import base64
import itertools
from collections import Counter
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from tests.stack import crowding
from web import access, guesses
from web.access import COOKIE, HEADERS, Access
from web.connections import CONNECTION
from web.guesses import FREE, GuessLimiter

RIGHT = "recast:correct horse battery"
TURN = 0.01


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guesses, "TURN_SECONDS", TURN)
    monkeypatch.setattr(access, "WRONG_SECONDS", 0.0)


class House:
    """A page behind a password, and who was told what."""

    def __init__(self) -> None:
        async def page(_: Any) -> PlainTextResponse:
            return PlainTextResponse("pictures")

        self.limiter = GuessLimiter()
        self.app = Starlette(routes=[Route("/", Access(SecretStr(RIGHT), self.limiter).guarded(page))])
        self.told: Counter[int] = Counter()
        self.guesses = itertools.count()
        self.wrong = asyncio.Semaphore(0)

    async def ask(self, auth: str, host: str = "192.0.2.1", cookie: str = "") -> tuple[int, str]:
        """The status, and the cookie that was set."""
        status = 0
        cookies: list[str] = []
        headers = [(b"authorization", b"Basic " + base64.b64encode(auth.encode())), (b"cookie", cookie.encode())]
        scope = {"type": "http", "method": "GET", "path": "/", "raw_path": b"/", "query_string": b"", "root_path": "",
                 "headers": headers, "client": (host, 1), "server": ("recast", 80), "scheme": "http",
                 "http_version": "1.1"}  # fmt: skip

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def send(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                cookies.extend(value.decode() for name, value in message["headers"] if name == b"set-cookie")
                assert {name.lower().encode() for name in HEADERS} <= dict(message["headers"]).keys()

        await self.app(scope, receive, send)
        self.told[status] += 1
        if status == 401:
            self.wrong.release()
        return status, cookies[0].partition(";")[0] if cookies else ""

    async def guess_on(self, host: str) -> None:
        for number in self.guesses:
            await self.ask(f"recast:a guess {number}", host)


async def besieged(house: House, hosts: list[str]) -> list[asyncio.Task[None]]:
    """Guessers who never pause."""
    tasks = [asyncio.create_task(house.guess_on(host)) for host in hosts]
    for _ in range(FREE + len(hosts)):
        await house.wrong.acquire()
    return tasks


def test_a_few_wrong_passwords_make_nobody_wait() -> None:
    async def story() -> None:
        house, clock = House(), asyncio.get_running_loop().time
        for number in range(FREE - 1):
            assert (await house.ask(f"recast:{number}"))[0] == 401
        began = clock()
        assert {(await house.ask(RIGHT))[0] for _ in range(50)} == {200}
        assert clock() - began < 50 * TURN * 10

    asyncio.run(story())


def test_guesses_are_one_at_a_time_however_many_guess() -> None:
    async def story() -> None:
        house, clock = House(), asyncio.get_running_loop().time
        tasks = await besieged(house, [f"192.0.2.{n}" for n in range(50)])
        began, before = clock(), house.told[401]
        await asyncio.sleep(40 * TURN)
        assert house.told[401] - before <= (clock() - began) / TURN + 2
        for task in tasks:
            task.cancel()

    asyncio.run(story())


@pytest.mark.parametrize("host", ["192.0.2.1", "198.51.100.1"], ids=["of the guessers' address", "of another"])
def test_whoever_knows_the_password_comes_in(host: str) -> None:
    async def story() -> None:
        house = House()
        tasks = await besieged(house, ["192.0.2.1"] * 30)
        before = house.told[401]
        status, cookie = await house.ask(RIGHT, host)
        assert status == 200
        # No later than everybody who waited at the same address; at another one, after the one whose turn it was.
        assert house.told[401] - before <= (35 if host == "192.0.2.1" else 4)
        before = house.told[401]
        assert {(await house.ask(RIGHT, host, cookie))[0] for _ in range(50)} == {200}
        assert house.told[401] - before <= 3
        for task in tasks:
            task.cancel()

    asyncio.run(story())


def test_a_pass_opens_nothing_and_a_forged_one_passes_nobody() -> None:
    async def story() -> None:
        house = House()
        _, cookie = await house.ask(RIGHT)
        assert cookie.startswith(f"{COOKIE}=")
        assert (await house.ask("recast:wrong", cookie=cookie))[0] == 401
        assert (await house.ask(RIGHT, cookie=f"{COOKIE}=é"))[0] == 200
        assert (await house.ask(RIGHT, cookie=cookie)) == (200, "")

    asyncio.run(story())


class Desk:
    """Secrets that are looked up, and how often that was done."""

    def __init__(self, *right: str) -> None:
        self.limiter, self.right, self.looks, self.most, self._now = GuessLimiter(), set(right), 0, 0, 0

    async def ask(self, secret: str, host: str = "192.0.2.1", connection: Any = None) -> str | None:
        scope = {"type": "http", "client": (host, 1), **({CONNECTION: connection} if connection else {})}

        async def receive() -> Any:
            await asyncio.Event().wait()

        async def look() -> str | None:
            self.looks, self._now = self.looks + 1, self._now + 1
            self.most = max(self.most, self._now)
            await asyncio.sleep(0)
            self._now -= 1
            return secret if secret in self.right else None

        return await self.limiter.find(Request(scope, receive), secret, look)


def test_a_crowd_of_guesses_is_looked_up_few_at_a_time_from_the_first_on() -> None:
    async def story() -> None:
        desk = Desk()
        tasks = [asyncio.create_task(desk.ask(f"guess {n}")) for n in range(300)]
        await asyncio.sleep(5 * TURN)
        assert desk.most <= FREE
        assert desk.looks < 60
        for task in tasks:
            task.cancel()

    asyncio.run(story())


def test_a_secret_that_was_right_before_waits_for_no_guess_until_it_is_withdrawn() -> None:
    async def story() -> None:
        desk = Desk("right")
        assert await desk.ask("right") == "right"
        tasks = [asyncio.create_task(desk.ask(f"guess {n}")) for n in range(300)]
        await asyncio.sleep(2 * TURN)
        assert not desk.limiter.is_free
        before = desk.looks
        assert [await desk.ask("right") for _ in range(50)] == ["right"] * 50
        assert desk.looks - before <= 50 + 3
        desk.right.clear()
        assert await desk.ask("right") is None
        before = desk.looks
        assert await desk.ask("right") is None
        assert desk.looks == before
        late = asyncio.create_task(desk.ask("another"))
        await asyncio.sleep(0)
        assert not late.done()
        for task in (*tasks, late):
            task.cancel()

    asyncio.run(story())


def test_an_old_cookie_of_a_page_with_many_pictures_is_one_guess() -> None:
    async def story() -> None:
        desk = Desk("right")
        for _ in range(10):
            assert await asyncio.gather(*(desk.ask("expired") for _ in range(6))) == [None] * 6
        assert desk.limiter.is_free
        assert desk.looks <= FREE
        assert await desk.ask("right") == "right"

    asyncio.run(story())


def test_a_password_that_was_changed_is_one_guess_of_a_browser_that_repeats_it() -> None:
    async def story() -> None:
        house = House()
        assert {(await house.ask("recast:the one before"))[0] for _ in range(60)} == {401}
        assert house.limiter.is_free

    asyncio.run(story())


def test_many_right_secrets_at_once_wait_for_nothing_but_each_other() -> None:
    async def story() -> None:
        secrets = [f"right {n}" for n in range(200)]
        desk, clock = Desk(*secrets), asyncio.get_running_loop().time
        began = clock()
        assert await asyncio.gather(*map(desk.ask, secrets)) == secrets
        assert clock() - began < 200 * TURN * crowding()

    asyncio.run(story())


def test_a_connection_that_is_gone_waits_no_more_and_is_not_looked_up() -> None:
    class Line:
        turn: asyncio.Future[bool] | None = None

    async def story() -> None:
        desk, line = Desk(), Line()
        tasks = [asyncio.create_task(desk.ask(f"guess {n}")) for n in range(100)]
        gone = asyncio.create_task(desk.ask("another", connection=line))
        await asyncio.sleep(0)
        assert line.turn is not None
        line.turn.set_result(False)
        with pytest.raises(ClientDisconnect):
            await gone
        for task in tasks:
            task.cancel()

    asyncio.run(story())


def test_guesses_that_are_given_up_hold_up_nobody() -> None:
    class Line:
        turn: asyncio.Future[bool] | None = None

    async def story() -> None:
        desk, lines = Desk(RIGHT), [Line() for _ in range(200)]
        for number in range(FREE + 1):
            await desk.ask(f"guess {number}")
        clock = asyncio.get_running_loop().time
        given_up = [asyncio.create_task(desk.ask(f"another {n}", connection=line)) for n, line in enumerate(lines)]
        await asyncio.sleep(0)
        for line in lines:
            assert line.turn is not None
            line.turn.set_result(False)
        began = clock()
        assert await desk.ask(RIGHT) == RIGHT
        assert clock() - began < 200 * TURN
        told = await asyncio.gather(*given_up, return_exceptions=True)
        assert all(isinstance(each, ClientDisconnect) for each in told)

    asyncio.run(story())


def test_a_request_that_waits_keeps_its_body() -> None:
    async def story() -> None:
        limiter = GuessLimiter()
        for _ in range(FREE + 1):
            limiter.was_wrong()
        parts = [{"type": "http.request", "body": b"name=Anna", "more_body": False}]

        async def receive() -> Any:
            return parts.pop(0) if parts else await asyncio.Event().wait()

        request = Request({"type": "http", "method": "POST", "headers": [], "client": ("192.0.2.1", 1)}, receive)
        await limiter.turn(request)
        await limiter.turn(request)
        assert await asyncio.wait_for(request.body(), 5) == b"name=Anna"

    asyncio.run(story())
