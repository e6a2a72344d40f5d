"""Webhooks as Standard Webhooks describes them (standardwebhooks.com, version 1): secrets, signing, sending.

A message is ``POST``ed as ``{"type", "timestamp", "data"}`` with three headers: ``webhook-id``, the same at every try,
``webhook-timestamp`` of this try, and ``webhook-signature``, one ``v1,<base64 HMAC-SHA256>`` for each secret in force.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from cryptography.fernet import InvalidToken
from pydantic import SecretStr

from providers.http import URL, Request
from providers.protocol import NotSentError, Reply, UnclearError
from providers.replies import retry_after
from recast.hints import hint
from recast.money import Money
from workers.config.settings import Settings, SettingsError
from workers.engine.runtime import Runtime
from workers.http.client import HttpClient, TooLargeError, read_body
from workers.http.encryption import box
from workers.http.ssrf import ForbiddenAddressError

TIMEOUT_SECONDS = 15.0  # for the whole exchange; the specification asks for 15 to 30
MAX_ANSWER_BYTES = 16 * 1024  # an answer is read only so that the connection can be used again
SECRET_PREFIX = "whsec_"  # noqa: S105 - what every secret begins with
SECRET_BYTES = 32  # the specification allows 24 to 64

TEST_EVENT = "webhook.test"  # that a person sends, to see whether it arrives

Secrets = Sequence[tuple[str, float | None]]


class UnsealedError(SettingsError):
    """The stored secrets were encrypted with another RECAST_SECRET_KEY."""


@dataclass(frozen=True, slots=True)
class Message:
    """One event for one webhook."""

    id: uuid.UUID
    event: str
    data: Mapping[str, Any]
    created_at: datetime
    url: str
    #: In force now, in clear.
    secrets: Sequence[str]


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one try; `error` is None where the webhook took the message."""

    status: int | None = None
    error: str | None = None
    #: Seconds that the webhook asked us to wait.
    wait: float | None = None

    @property
    def gone(self) -> bool:
        """Whether the webhook wants nothing more, ever."""
        return self.status == HTTPStatus.GONE


def make_secret() -> str:
    """A new signing secret in the form for its receiver."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def seal(settings: Settings, kept: Secrets) -> bytes:
    """Encrypt secrets, each with the Unix time until which it is in force (None: until it is replaced).

    Raises:
        SettingsError: RECAST_SECRET_KEY is not set.
    """
    return box(_key(settings), "webhooks").encrypt(json.dumps(list(kept)).encode())


def unseal(settings: Settings, sealed: bytes) -> Secrets:
    """The secrets that `seal` encrypted, without those whose time is over.

    Raises:
        SettingsError: RECAST_SECRET_KEY is not set.
        UnsealedError: it is another one than it was.
    """
    try:
        kept = json.loads(box(_key(settings), "webhooks").decrypt(sealed))
    except InvalidToken:
        raise UnsealedError(
            "its secrets were encrypted with another RECAST_SECRET_KEY; create a new one with "
            + hint("webhooks rotate", "WEBHOOK")
        ) from None
    return [(secret, until) for secret, until in kept if until is None or until > time.time()]


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """One entry of ``webhook-signature``."""
    key = base64.b64decode(secret.removeprefix(SECRET_PREFIX))
    digest = hmac.new(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def request(runtime: Runtime, message: Message) -> Request:
    """The message as it goes out now. Its body is the same at every try."""
    data = dict(message.data)
    if "cost" in data:
        data["cost"] = Money(Decimal(data["cost"]), runtime.settings.currency).document()
    if data.get("results"):
        data["results"] = [{**result, "uri": runtime.storage.url(result["key"])} for result in data["results"]]
    envelope = {"type": message.event, "timestamp": message.created_at.isoformat(), "data": data}
    body = json.dumps(envelope, ensure_ascii=False).encode()
    now = int(time.time())
    signatures = [signature(secret, str(message.id), now, body) for secret in message.secrets]
    headers = {
        "content-type": "application/json",
        "webhook-id": str(message.id),
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(signatures),
    }
    return Request("POST", message.url, content=body, headers=headers)


async def send(client: HttpClient, request: Request) -> Answer:
    """Send a message once. Redirects are not followed: a webhook that has moved is added anew by a person."""
    try:
        async with client.stream(request, timeout=TIMEOUT_SECONDS) as response:
            with suppress(TooLargeError):
                await read_body(response, MAX_ANSWER_BYTES)
    except ForbiddenAddressError:
        return Answer(error=forbidden(request.url))
    except (NotSentError, UnclearError) as error:
        return Answer(error=str(error))
    status = response.status_code
    if 200 <= status < 300:  # noqa: PLR2004 - the 2xx class
        return Answer(status)
    wait = retry_after(Reply(status=status, headers=dict(response.headers.items()), body=b""))
    return Answer(status, f"the receiver answered {status}", wait)


def forbidden(url: URL) -> str:
    """Why nothing is sent to `url`, and what to do."""
    return (
        f"{url.host} is not a public address, or the URL cannot be used;"
        f" if it is yours, add {url.netloc.decode('ascii', 'replace')!r} to RECAST_WEBHOOK_HOSTS"
    )


def _key(settings: Settings) -> SecretStr:
    if settings.secret_key is None:
        raise SettingsError("RECAST_SECRET_KEY is not set; the secrets of webhooks are stored encrypted with it")
    return settings.secret_key
