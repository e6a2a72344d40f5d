"""Answers that repeat the request: no secret of ours gets past, and what is no secret stays whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from providers.protocol import Reply
from tests.http import Request
from tests.unit.providers.scripted import ScriptedHttp, always, reply
from workers.config.settings import Settings
from workers.http.redaction import Redacted
from workers.http.urls import digest, new_address
from workers.images.signed_urls import MediaSigner

SECRET = "a-key-of-some-length/1"
PUBLIC = "https://pictures.example.com/recast"


def sent(answer: Reply, request: Request | None = None, **more: Any) -> bytes:
    http = Redacted(ScriptedHttp(always(answer)), (SECRET, "short"), PUBLIC)
    asked = request or Request("POST", "https://api.example/x", **more)
    return asyncio.run(http.send(asked, timeout=1)).body


@pytest.mark.parametrize("status", [200, 401, 500])
def test_a_credential_is_taken_out_whatever_the_status(status: int) -> None:
    assert sent(reply(status, {"msg": f"bad key {SECRET}"})) == b'{"msg": "bad key [redacted]"}'


def test_a_credential_with_signs_that_json_escapes_is_found() -> None:
    secret = 'quote " and \\ back'
    http = Redacted(ScriptedHttp(always(reply(500, {"msg": secret}))), (secret,))
    answer = asyncio.run(http.send(Request("GET", "https://api.example"), timeout=1))
    assert json.loads(answer.body) == {"msg": "[redacted]"}


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("Bearer token-of-a-session", "token-of-a-session"),
        ("Bearer token-of-a-session", "Bearer token-of-a-session"),
        ("Basic c2hvcEBleGFtcGxlLm9yZzpwYXNz", "c2hvcEBleGFtcGxlLm9yZzpwYXNz"),
    ],
)
def test_what_the_headers_carried_is_taken_out(header: str, said: str) -> None:
    body = sent(reply(200, {"msg": said}), headers={"Authorization": header})
    assert body in (b'{"msg": "[redacted]"}', b'{"msg": "Bearer [redacted]"}')


def test_tokens_of_a_body_are_taken_out_of_a_refusal_and_left_in_what_gives_tokens() -> None:
    tokens = {"access_token": "access-1234567890", "refresh_token": "refresh-1234567890"}
    assert b"1234567890" not in sent(reply(500, tokens), json=tokens)
    assert json.loads(sent(reply(200, tokens), json=tokens)) == tokens


def test_what_is_no_secret_stays() -> None:
    body = json.dumps({"short": "short", "type": "application/json", "url": "https://cdn.example/media/1/x"}).encode()
    assert sent(reply(200, body), json={"prompt": "application/json", "n": 1}) == body


@pytest.mark.parametrize("escaped", [False, True])
def test_our_links_lose_what_cannot_be_guessed(escaped: bool) -> None:
    address, token_digest = new_address(PUBLIC)
    token = address.rpartition("/")[2]
    assert token_digest == digest(token)
    signed = MediaSigner(Settings(_env_file=None, secret_key="k", public_url=PUBLIC)).link("ab/cd/x.jpg", 60)
    told = json.dumps({"webhook": address, "source": signed, "output": "https://cdn.example/media/12/abc/x.jpg"})
    body = sent(reply(200, (told.replace("/", "\\/") if escaped else told).encode()))

    found = json.loads(body)
    assert found["webhook"] == f"{PUBLIC}/callbacks/[redacted]"
    assert found["source"].startswith(f"{PUBLIC}/media/")
    assert found["source"].endswith("/[redacted]/ab/cd/x.jpg")
    assert found["output"] == "https://cdn.example/media/12/abc/x.jpg"


def test_an_answer_that_is_no_text_stays() -> None:
    assert sent(reply(200, bytes(range(256))), content=b"\xff\x00") == bytes(range(256))
