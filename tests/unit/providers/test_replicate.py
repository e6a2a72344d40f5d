"""Replicate's signed webhooks; the two signatures at the top were published by others."""

from __future__ import annotations

import base64
import hmac

import pytest
from pydantic import ValidationError

from providers.protocol import Provider
from providers.replicate import WEBHOOK_WINDOW_SECONDS, ReplicateSettings
from tests.unit.providers.cases import REPLICATE_SWAP, ZHIQITE_SWAP
from tests.unit.providers.scripted import ScriptedHttp, always, reply
from tests.words import names

#: Secret, id, timestamp, body, signature: the examples of Svix's manual and of the Standard Webhooks libraries.
PUBLISHED = [
    (
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    ),
    (
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
        "msg_27UH4WbU6Z5A5EzD8u03UvzRbpk",
        1649367553,
        b'{"email":"test@example.com","username":"test_user"}',
        "v1,tZ1I4/hDygAJgO5TYxiSd6Sd0kDW6hPenDe+bTa3Kkw=",
    ),
]
SECRET, ID, AT, BODY, SIGNATURE = PUBLISHED[0]
HEADERS = {"webhook-id": ID, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}


def provider(secret: str | None = SECRET) -> Provider:
    return REPLICATE_SWAP.build(ScriptedHttp(always(reply())), webhook_secret=secret)


@pytest.mark.parametrize(("secret", "sent_id", "at", "body", "signature"), PUBLISHED)
def test_published_signatures(secret: str, sent_id: str, at: int, body: bytes, signature: str) -> None:
    headers = {"webhook-id": sent_id, "webhook-timestamp": str(at), "webhook-signature": signature}
    assert provider(secret).verify_callback(headers, body, now=at + 1.5) is True
    assert provider(secret).verify_callback(headers, body + b" ", now=at) is False
    assert provider("whsec_" + base64.b64encode(b"x" * 24).decode()).verify_callback(headers, body, now=at) is False


def test_one_good_signature_of_several_is_enough() -> None:
    """While a key is rotated, a webhook carries the signatures of both; other versions are not ours to judge."""
    for several in (f"v1,AAAA {SIGNATURE}", f"{SIGNATURE} v1a,BBBB", f"v2,x \u00e9 {SIGNATURE}"):
        assert provider().verify_callback({**HEADERS, "webhook-signature": several}, BODY, now=AT) is True


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_other"},
        {"webhook-id": ""},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": f"{AT}.0"},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "9" * 5_000},
        {"webhook-timestamp": "\u0661"},
        {"webhook-signature": ""},
        {"webhook-signature": SIGNATURE.removeprefix("v1,")},
        {"webhook-signature": SIGNATURE.replace("v1", "v2")},
        {"webhook-signature": "v1,\u00e9"},
    ],
)
def test_forged_webhooks(change: dict[str, str]) -> None:
    assert provider().verify_callback({**HEADERS, **change}, BODY, now=AT) is False


def test_missing_headers() -> None:
    for name in HEADERS:
        rest = {key: value for key, value in HEADERS.items() if key != name}
        assert provider().verify_callback(rest, BODY, now=AT) is False


@pytest.mark.parametrize("offset", [-WEBHOOK_WINDOW_SECONDS, 0.0, WEBHOOK_WINDOW_SECONDS])
def test_within_the_window(offset: float) -> None:
    assert provider().verify_callback(HEADERS, BODY, now=AT + offset) is True


@pytest.mark.parametrize("offset", [-WEBHOOK_WINDOW_SECONDS - 1, WEBHOOK_WINDOW_SECONDS + 1])
def test_a_replay_is_refused(offset: float) -> None:
    assert provider().verify_callback(HEADERS, BODY, now=AT + offset) is False


def test_bodies_are_signed_as_bytes() -> None:
    body = b"\xff\x00 not UTF-8"
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signature = base64.b64encode(hmac.digest(key, f"{ID}.{AT}.".encode() + body, "sha256")).decode()
    headers = {**HEADERS, "webhook-signature": f"v1,{signature}"}
    assert provider().verify_callback(headers, body, now=AT) is True


def test_without_a_key_nothing_can_be_verified() -> None:
    assert provider(None).verify_callback(HEADERS, BODY, now=AT) is None
    unsigned = ZHIQITE_SWAP.build(ScriptedHttp(always(reply())))
    assert unsigned.verify_callback(HEADERS, BODY, now=AT) is None


@pytest.mark.parametrize("secret", ["whsec_", "secret", "whsec_%%%", "whsec"])
def test_a_wrong_signing_secret_is_found_at_start_and_not_shown(secret: str) -> None:
    with pytest.raises(ValidationError, match=names("whsec_")) as caught:
        ReplicateSettings.model_validate({"token": "t", "webhook_secret": secret})
    assert "%%%" not in str(caught.value)


def test_a_webhook_names_its_prediction() -> None:
    body = b'{"id": "gm3qorzdhgbfurvjtvhg6dckhu", "status": "succeeded"}'
    assert provider().callback_handle(body) == REPLICATE_SWAP.handle
