"""Callbacks that are signed: what the provider did not sign changes nothing, and is not even looked up further."""

from __future__ import annotations

import asyncio
import base64
import hmac
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import Message

from models.transactions import Database
from providers.protocol import NotSentError
from tests.http import ASGITransport, AsyncClient, Response
from tests.stack import write_accounts
from tests.words import names
from web.callbacks import Callbacks, Verifiers
from web.guesses import FREE, TURN_SECONDS
from web.wakes import Wakes
from workers.config.account_values import AccountsError
from workers.engine.callbacks import CallbackBody
from workers.http.urls import CallbackTokens, digest

KEY = b"a signing key of twenty-four bytes"
BODY = b'{"id": "p1", "status": "succeeded"}'
TOKENS = CallbackTokens(SecretStr("a-key-of-the-tests"))
ACCOUNTS = {
    "signed": {
        "provider": "replicate",
        "base_url": "http://127.0.0.1:9",
        "token": "t",
        "webhook_secret": f"whsec_{base64.b64encode(KEY).decode()}",
    },
    "unsigned": {"provider": "hidream", "base_url": "http://127.0.0.1:9", "token": "t"},
}


@pytest.fixture
def accounts_file(tmp_path: Path) -> Path:
    path = tmp_path / "accounts.toml"
    write_accounts(path, ACCOUNTS)
    return path


def signed(body: bytes, *, age: float = 0.0, key: bytes = KEY) -> dict[str, str]:
    at = str(int(time.time() - age))
    signature = base64.b64encode(hmac.digest(key, f"msg_1.{at}.".encode() + body, "sha256")).decode()
    return {"webhook-id": "msg_1", "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}


class _Noted(Wakes):
    """Wakes nothing, and notes what would be woken."""

    def __init__(self) -> None:
        super().__init__(Database("postgresql+psycopg://nowhere/none"))
        self.woken: set[str] = set()

    def soon(self, account: str) -> None:
        self.woken.add(account)


class _Told(Callbacks):
    """Callbacks of tokens that are named like their accounts, and a note of what would be written."""

    def __init__(self, accounts_file: Path) -> None:
        super().__init__(Database("postgresql+psycopg://nowhere/none"), accounts_file, TOKENS)
        self.kept: list[bytes] = []
        self.looks = 0
        self._wakes = self.wakes = _Noted()
        self.known = {digest(name): name for name in ACCOUNTS}

    def _accounts(self, tokens: Sequence[str]) -> list[str | None]:
        self.looks += len(tokens)
        return [self.known.get(token) for token in tokens]

    def _keep(self, told: Sequence[CallbackBody]) -> list[bool | None]:
        self.kept += [each.body for each in told]
        return [True] * len(told)


def posted(callbacks: Callbacks, token: str, body: bytes, headers: dict[str, str]) -> Response:
    app = Starlette(routes=[Route("/callbacks/{token}", callbacks.take, methods=["POST"])])

    async def send() -> Response:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://recast") as client:
            return await client.post(f"/callbacks/{token}", content=body, headers=headers)

    return asyncio.run(send())


def test_a_good_signature_is_taken(accounts_file: Path) -> None:
    callbacks = _Told(accounts_file)
    answer = posted(callbacks, "signed", BODY, signed(BODY))
    assert (answer.status_code, answer.json()["code"]) == (200, "200")
    assert callbacks.kept == [BODY]
    assert callbacks.wakes.woken == {"signed"}


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(BODY, {}, id="unsigned"),
        pytest.param(BODY + b" ", signed(BODY), id="changed"),
        pytest.param(BODY, signed(BODY, key=b"another key"), id="another key"),
        pytest.param(BODY, signed(BODY, age=3_600), id="a replay"),
    ],
)
def test_what_the_provider_did_not_sign_changes_nothing(
    accounts_file: Path, body: bytes, headers: dict[str, str]
) -> None:
    callbacks = _Told(accounts_file)
    assert posted(callbacks, "signed", body, headers).status_code == 401
    assert callbacks.kept == []
    assert callbacks.wakes.woken == set()


def test_a_provider_that_signs_nothing_is_heard(accounts_file: Path) -> None:
    callbacks = _Told(accounts_file)
    assert posted(callbacks, "unsigned", BODY, {}).status_code == 200
    assert callbacks.kept == [BODY]


@pytest.mark.parametrize("token", ["nobody", "x" * 65])
def test_a_token_that_nobody_has_is_told_nothing(accounts_file: Path, token: str) -> None:
    assert posted(_Told(accounts_file), token, BODY, {}).status_code == 404


def test_nothing_is_read_of_a_body_whose_token_nobody_has(accounts_file: Path) -> None:
    answers: list[Message] = []

    async def unread() -> Message:
        pytest.fail("a part of the body was asked for")

    async def answer(message: Message) -> None:
        answers.append(message)

    scope = {"type": "http", "method": "POST", "path": "/callbacks/nobody", "query_string": b"",
             "headers": [(b"content-length", b"1000000000")], "path_params": {"token": "nobody"}}  # fmt: skip

    async def story() -> None:
        await (await _Told(accounts_file).take(Request(scope, unread)))(scope, unread, answer)

    asyncio.run(story())
    assert answers[0]["status"] == 404


def test_guesses_cost_few_looks_and_nobody_with_a_token_of_ours_waits_for_them(accounts_file: Path) -> None:
    callbacks, token = _Told(accounts_file), TOKENS.new()
    callbacks.known[digest(token)] = "unsigned"
    app = Starlette(routes=[Route("/callbacks/{token}", callbacks.take, methods=["POST"])])

    async def story() -> None:
        clock = asyncio.get_running_loop().time
        async with AsyncClient(transport=ASGITransport(app), base_url="http://recast") as client:
            began = clock()
            guesses = [
                asyncio.create_task(client.post(f"/callbacks/{guess}", content=b""))
                for guess in (*(f"{n:032}" for n in range(100)), *(f"{n:048}" for n in range(100)))
            ]
            await asyncio.sleep(TURN_SECONDS)
            answers = [await client.post(f"/callbacks/{token}", content=BODY) for _ in range(20)]
            assert {answer.status_code for answer in answers} == {200}
            waited, guessed = clock() - began, callbacks.looks - len(answers)
            # Each guess beyond the first ones had its turn; a token of ours waits for none.
            assert guessed <= FREE + waited / TURN_SECONDS + 1
            for task in guesses:
                task.cancel()
            await asyncio.gather(*guesses, return_exceptions=True)

    asyncio.run(story())
    assert callbacks.kept == [BODY] * 20


def test_tokens_of_an_earlier_version_or_key_are_heard_and_soon(accounts_file: Path) -> None:
    callbacks = _Told(accounts_file)
    older = [secrets.token_urlsafe(24) for _ in range(30)]
    older += [CallbackTokens(SecretStr("the-key-before-this-one")).new() for _ in range(30)]
    callbacks.known |= {digest(token): "unsigned" for token in older}
    app = Starlette(routes=[Route("/callbacks/{token}", callbacks.take, methods=["POST"])])

    async def story() -> set[int]:
        async with AsyncClient(transport=ASGITransport(app), base_url="http://recast") as client:
            answers = [client.post(f"/callbacks/{token}", content=BODY) for token in older]
            return {answer.status_code for answer in await asyncio.gather(*answers)}

    assert asyncio.run(story()) == {200}
    assert len(callbacks.kept) == len(older)


def test_an_accounts_file_that_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    callbacks = _Told(tmp_path / "none.toml")
    assert posted(callbacks, "signed", BODY, signed(BODY)).status_code == 503
    assert callbacks.kept == []


def test_an_account_that_left_the_file_is_no_verdict(accounts_file: Path) -> None:
    with pytest.raises(AccountsError, match=names("gone", "accounts.toml")):
        Verifiers(accounts_file).of("gone")


def test_the_accounts_are_read_before_the_first_callback_or_when_they_can_be(accounts_file: Path) -> None:
    early, text = Verifiers(accounts_file), accounts_file.read_text()
    accounts_file.unlink()
    early.of("signed")
    late = Verifiers(accounts_file)
    accounts_file.write_text(text)
    late.of("signed")


def test_looking_at_a_signature_sends_nothing(accounts_file: Path) -> None:
    provider: Any = Verifiers(accounts_file).of("signed")
    with pytest.raises(NotSentError, match=names("127.0.0.1")):
        asyncio.run(provider.check())
