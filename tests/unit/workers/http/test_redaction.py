"""Answers that repeat the request: no secret of ours gets past, and what is not a secret stays whole."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from providers.protocol import Reply, UnclearError
from tests.http import Request
from tests.unit.providers.scripted import ScriptedHttp, always, raises, reply
from workers.config.settings import Settings
from workers.http.recorder import Recorder
from workers.http.redaction import Redacted, Redactor
from workers.http.shown_urls import shown_url, without_url_secrets
from workers.http.urls import CallbackTokens, digest
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
    address, token_digest = CallbackTokens(SecretStr("a-key-of-the-tests")).new_address(PUBLIC)
    token = address.rpartition("/")[2]
    assert token_digest == digest(token)
    signed = MediaSigner(Settings(_env_file=None, secret_key="a-key-of-the-tests", public_url=PUBLIC)).link(
        "ab/cd/x.jpg", 60
    )
    told = json.dumps({"webhook": address, "source": signed, "output": "https://cdn.example/media/12/abc/x.jpg"})
    body = sent(reply(200, (told.replace("/", "\\/") if escaped else told).encode()))

    found = json.loads(body)
    assert found["webhook"] == f"{PUBLIC}/callbacks/[redacted]"
    assert found["source"].startswith(f"{PUBLIC}/media/")
    assert found["source"].endswith("/[redacted]/ab/cd/x.jpg")
    assert found["output"] == "https://cdn.example/media/12/abc/x.jpg"


def test_an_answer_that_is_no_text_stays() -> None:
    assert sent(reply(200, bytes(range(256))), content=b"\xff\x00") == bytes(range(256))


# --- The redactor itself ------------------------------------------------------------------------------------------


def test_json_loses_secrets_by_value_and_by_name() -> None:
    document = {
        "echo": [f"bad key {SECRET}", {"deep": SECRET}],
        "access_token": "short",
        "Password": "pw",
        "n": 3,
        "none": None,
        "prompt": "a knight",
    }
    assert Redactor([SECRET]).json(document) == {
        "echo": ["bad key [redacted]", {"deep": "[redacted]"}],
        "access_token": "[redacted]",
        "Password": "[redacted]",
        "n": 3,
        "none": None,
        "prompt": "a knight",
    }


def test_headers_keep_only_what_holds_no_credential() -> None:
    headers = {"Content-Type": "text/plain", "X-Request-Id": f"7/{SECRET}", "Set-Cookie": "session=1", "X-Any": "thing"}
    assert Redactor([SECRET]).headers(headers) == {
        "content-type": "text/plain",
        "x-request-id": "7/[redacted]",
        "set-cookie": "[redacted]",
        "x-any": "[redacted]",
    }


@pytest.mark.parametrize("form", [SECRET, quote(SECRET, safe=""), json.dumps(SECRET)[1:-1]])
def test_a_secret_is_found_however_it_is_written(form: str) -> None:
    assert Redactor([SECRET]).text(f"<{form}>") == "<[redacted]>"


def test_of_two_secrets_the_longer_is_taken_out_whole() -> None:
    assert Redactor(["a-secret-text", "a-secret-text-and-more"]).text("a-secret-text-and-more") == "[redacted]"


def test_text_that_is_no_unicode_stays() -> None:
    assert Redactor([SECRET]).text(f"\ud800{SECRET}") == "\ud800[redacted]"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pass@host.example:8443/a/b?X-Signature=abc#part", "https://host.example:8443/a/b"),
        ("s3://bucket/key", "s3://bucket/key"),
        ("/srv/pictures", "/srv/pictures"),
    ],
)
def test_a_url_is_shown_without_what_may_be_secret(url: str, shown: str) -> None:
    assert shown_url(url) == shown


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("connected to redis://:pa%40ss@db:6379/0.", "connected to redis://[redacted]@db:6379/0."),
        ("GET 'https://cdn.example/x.png?sig=abc&e=1' failed", "GET 'https://cdn.example/x.png?[redacted]' failed"),
        ("POST /callbacks/aB-_9 HTTP/1.1", "POST /callbacks/[redacted] HTTP/1.1"),
        ("GET /media/1712345/Ab_-9/ab/cd/x.jpg", "GET /media/1712345/[redacted]/ab/cd/x.jpg"),
        ("http://127.0.0.1:8765/callbacks/tok done", "http://127.0.0.1:8765/callbacks/[redacted] done"),
        ("is it so? http://a/b", "is it so? http://a/b"),
        ("shop@example.org wrote", "shop@example.org wrote"),
    ],
)
def test_urls_within_a_text_lose_what_may_be_secret(text: str, plain: str) -> None:
    assert without_url_secrets(text) == plain


# --- The recorder -------------------------------------------------------------------------------------------------


def recorded(answer: Reply, request: Request) -> dict[str, Any]:
    recorder = Recorder(ScriptedHttp(always(answer)), (SECRET, "pw"))
    asyncio.run(recorder.send(request, timeout=1))
    (exchange,) = recorder.exchanges
    return exchange


def test_an_exchange_is_recorded_without_secrets_however_short() -> None:
    request = Request(
        "POST",
        f"https://api.example/{SECRET}/x?signed=1",
        headers={"Authorization": SECRET},
        json={"user": "pw", "n": 1},
    )
    kept = recorded(reply(200, {"access_token": "abc", "echo": SECRET}, content_type="application/json"), request)

    assert kept["request"]["url"] == "https://api.example/[redacted]/x"
    assert kept["request"]["headers"]["authorization"] == "[redacted]"
    assert kept["request"]["json"] == {"user": "[redacted]", "n": 1}
    assert kept["reply"]["json"] == {"access_token": "[redacted]", "echo": "[redacted]"}
    assert kept["reply"]["headers"] == {"content-type": "application/json"}


LIVE = "Zb9x7Yq2Lw8Kc4Nn"


@pytest.mark.parametrize(
    "body",
    [
        json.dumps({"url": f"https://cdn.example/a/b.png?X-Amz-Signature={LIVE}&Expires=1"}).encode(),
        json.dumps({"urls": [f"see https://u:{LIVE}@cdn.example/a.png, soon"]}).encode(),
        json.dumps({"output": [f"https://replicate.example/pbxt/{LIVE}/out.png"]}).encode(),
        json.dumps({"deep": [{"session_id": LIVE}]}).encode(),
        json.dumps({"Signature": [LIVE]}).encode(),
        json.dumps({"apiKey": LIVE, "sign": LIVE}).encode(),
        json.dumps({"echo": json.dumps({"token": LIVE})}).encode(),
        json.dumps({"echo": f"Authorization: Bearer {LIVE}"}).encode(),
        json.dumps({f"https://cdn.example/{LIVE}": 1}).encode(),
        f"user=me&password={LIVE}&n=1".encode(),
        f"<html>token = '{LIVE}'</html>".encode(),
        f"Set-Cookie: session={LIVE}; path=/".encode(),
        f"eyJhbGciOiJIUzI1NiJ9.{LIVE}.{LIVE}".encode(),
    ],
)
def test_a_recording_has_no_link_and_no_token_that_works(body: bytes) -> None:
    answer = reply(200, body)
    assert LIVE not in json.dumps(recorded(answer, Request("GET", "https://api.example/v1/x")))
    assert LIVE not in json.dumps(recorded(reply(200), Request("POST", "https://api.example/v1/x", content=body)))
    if body.startswith(b"{"):
        return
    recorder = Recorder(ScriptedHttp(raises(UnclearError(body.decode()))))
    with pytest.raises(UnclearError):
        asyncio.run(recorder.send(Request("GET", "https://api.example/"), timeout=1))
    assert LIVE not in json.dumps(recorder.exchanges)


def test_a_recording_says_what_it_is_for() -> None:
    said = {"id": "job-12", "status": "failed", "message": "no face in picture 2", "max_tokens": 7,
            "url": "https://cdn.example/out/1.png"}  # fmt: skip
    kept = recorded(reply(200, json.dumps(said).encode()), Request("GET", "https://api.example/v1/jobs/12"))
    assert kept["reply"]["json"] == said
    assert kept["request"]["url"] == "https://api.example/v1/jobs/12"


def test_a_long_text_is_cut_and_other_bodies_are_named() -> None:
    kept = recorded(reply(200, b"\x00plain"), Request("POST", "https://api.example/", json={"picture": "A" * 5_000}))
    assert kept["request"]["json"]["picture"] == f"{'A' * 64}... [5000 characters]"
    assert kept["reply"]["text"] == "\x00plain"
    form = Request("POST", "https://api.example/", files={"file": b"bytes"})
    assert recorded(reply(200), form)["request"]["text"].startswith("[multipart of ")


def test_a_request_without_an_answer_is_recorded_with_the_reason() -> None:
    recorder = Recorder(ScriptedHttp(raises(UnclearError(f"may have been received: {SECRET}"))), (SECRET,))
    with pytest.raises(UnclearError):
        asyncio.run(recorder.send(Request("GET", "https://api.example/"), timeout=1))
    assert recorder.exchanges[0]["error"] == "UnclearError: may have been received: [redacted]"
