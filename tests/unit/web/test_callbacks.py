"""Callbacks that are signed: what the provider did not sign changes nothing, and is not even looked up further."""

from __future__ import annotations

import asyncio
import base64
import hmac
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.routing import Route

from models.transactions import Database
from providers.protocol import NotSentError
from tests.http import ASGITransport, AsyncClient, Response
from tests.stack import write_accounts
from tests.words import names
from web.callbacks import Callbacks, Verifiers
from workers.config.account_values import AccountsError
from workers.http.urls import digest

KEY = b"a signing key of twenty-four bytes"
BODY = b'{"id": "p1", "status": "succeeded"}'
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


class _Told(Callbacks):
    """Callbacks of tokens that are named like their accounts, and a note of what would be written."""

    def __init__(self, accounts_file: Path) -> None:
        super().__init__(Database("postgresql+psycopg://nowhere/none"), accounts_file)
        self.kept: list[bytes] = []

    def _account(self, token: str) -> str | None:
        return {digest(name): name for name in ACCOUNTS}.get(token)

    def _keep(self, token: str, body: bytes) -> None:
        self.kept.append(body)


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


def test_a_provider_that_signs_nothing_is_heard(accounts_file: Path) -> None:
    callbacks = _Told(accounts_file)
    assert posted(callbacks, "unsigned", BODY, {}).status_code == 200
    assert callbacks.kept == [BODY]


@pytest.mark.parametrize("token", ["nobody", "x" * 65])
def test_a_token_that_nobody_has_is_told_nothing(accounts_file: Path, token: str) -> None:
    assert posted(_Told(accounts_file), token, BODY, {}).status_code == 404


def test_an_accounts_file_that_cannot_be_read_is_no_verdict(tmp_path: Path) -> None:
    callbacks = _Told(tmp_path / "none.toml")
    assert posted(callbacks, "signed", BODY, signed(BODY)).status_code == 503
    assert callbacks.kept == []


def test_an_account_that_left_the_file_is_no_verdict(accounts_file: Path) -> None:
    with pytest.raises(AccountsError, match=names("gone", "accounts.toml")):
        Verifiers(accounts_file).of("gone")


def test_looking_at_a_signature_sends_nothing(accounts_file: Path) -> None:
    provider: Any = Verifiers(accounts_file).of("signed")
    with pytest.raises(NotSentError, match=names("127.0.0.1")):
        asyncio.run(provider.check())
