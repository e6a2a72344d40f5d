"""Callbacks that come together are kept together: each as if it came alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from starlette.applications import Starlette

from tests.http import ASGITransport, AsyncClient
from tests.stack import write_accounts
from tests.web.shop import settings
from web import callbacks, wakes
from web.app import build
from workers.engine.callbacks import BODIES_KEPT
from workers.http.urls import digest

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages

pytest_plugins = ["tests.integration.database"]

ACCOUNTS = [f"main{number}" for number in range(5)]


@pytest.fixture
def app(database: Database, tmp_path: Path) -> Starlette:
    table = {"provider": "hidream", "base_url": "http://127.0.0.1:9", "token": "t"}
    write_accounts(tmp_path / "accounts.toml", dict.fromkeys(ACCOUNTS, table))
    return build(settings(database, tmp_path))


def told(app: Starlette, *tokens: str) -> list[int]:
    """The answers to callbacks of these tokens, which all come at once."""

    async def story() -> list[int]:
        http = AsyncClient(transport=ASGITransport(app), base_url="http://recast")
        async with app.router.lifespan_context(app), http as client:
            answers = [client.post(f"/callbacks/{token}", content=token.encode()) for token in tokens]
            return [answer.status_code for answer in await asyncio.gather(*answers)]

    return asyncio.run(story())


def opened(database: Database, *states: str) -> list[str]:
    """Tokens of attempts in these states, each of an account of its own."""
    tokens = [f"token-{number}" for number in range(len(states))]
    jobs = database.jobs(len(states), state="running")
    for token, account, state, job in zip(tokens, ACCOUNTS, states, jobs, strict=False):
        database.account(account)
        database.attempt(job, state, callback_token=f"'{digest(token)}'", account=f"'{account}'")
    return tokens


def test_each_of_a_group_counts_for_its_own_attempt_only(
    database: Database, messages: Messages, app: Starlette
) -> None:
    tokens = opened(database, "running", "sending", "done", "unknown", "running")
    quiet = tokens.pop()
    answers = told(app, *tokens * 3, "nobody")

    assert answers == [200] * 12 + [404]
    kept = Counter(row.body.decode() for row in database.sql("SELECT body FROM callbacks"))
    assert kept == {token: 3 for token in tokens if token != tokens[2]}
    called = {row.callback_token for row in database.sql("SELECT * FROM attempts WHERE callback_at IS NOT NULL")}
    assert called == {digest(token) for token in kept}
    assert digest(quiet) not in called
    # One that is still being sent has no handle to ask for, and one that has ended needs no look.
    assert set(messages.pumps) == {"poll:main0", "poll:main3"}


@pytest.mark.usefixtures("messages")
def test_a_token_keeps_few_bodies_of_a_group(database: Database, app: Starlette) -> None:
    (token,) = opened(database, "running")
    assert set(told(app, *[token] * (3 * BODIES_KEPT))) == {200}
    assert len(database.sql("SELECT FROM callbacks")) == BODIES_KEPT


@pytest.mark.usefixtures("messages")
def test_an_attempt_that_somebody_holds_stops_no_other(database: Database, app: Starlette) -> None:
    held, *others = opened(database, "running", "running", "running")

    async def story() -> tuple[list[int], int]:
        http = AsyncClient(transport=ASGITransport(app), base_url="http://recast")
        async with app.router.lifespan_context(app), http as client:

            async def call(token: str) -> int:
                return (await client.post(f"/callbacks/{token}", content=token.encode())).status_code

            with database.engine.begin() as holder:
                holder.execute(text("SELECT 1 FROM attempts WHERE callback_token = :t FOR UPDATE"), {"t": digest(held)})
                waiting = [asyncio.create_task(call(held)) for _ in range(50)]
                await asyncio.sleep(0.1)
                answers = await asyncio.wait_for(asyncio.gather(*map(call, others * 2)), 5)
                assert not any(task.done() for task in waiting)
                kept = len(database.sql("SELECT FROM callbacks"))
            return [*answers, *await asyncio.gather(*waiting)], kept

    answers, kept = asyncio.run(story())
    assert answers == [200] * 54
    assert kept == 4, "of the others"
    assert len(database.sql("SELECT FROM callbacks")) == 4 + BODIES_KEPT
    assert database.one("SELECT count(*) FROM attempts WHERE callback_at IS NOT NULL") == 3


@pytest.mark.usefixtures("messages")
def test_a_callback_whose_attempt_stays_locked_is_to_be_told_again(
    database: Database, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    (token,) = opened(database, "running")
    monkeypatch.setattr(callbacks, "ANSWER_SECONDS", 0.3)
    with database.engine.begin() as holder:
        holder.execute(text("SELECT 1 FROM attempts FOR UPDATE"))
        assert told(app, token, token) == [503, 503]
    assert told(app, token) == [200]
    assert len(database.sql("SELECT FROM callbacks")) == 1


@pytest.mark.usefixtures("messages")
def test_pumps_that_cannot_be_woken_are_no_reason_to_call_again(
    database: Database, app: Starlette, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any, **__: Any) -> int:
        raise OperationalError("INSERT", {}, Exception("gone"))

    (token,) = opened(database, "running")
    monkeypatch.setattr(wakes, "wake", gone)
    assert told(app, token) == [200]
    assert database.one("SELECT next_poll_at <= clock_timestamp() FROM attempts")
