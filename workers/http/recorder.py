"""Writing down what is said to a provider, with every secret taken out: for a first contact, or a report of a fault."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel, SecretStr

from providers.http import Request
from providers.protocol import MAX_ANSWER_BYTES, Http, NotSentError, Reply, UnclearError

REDACTED = "[redacted]"
MAX_TEXT = 4_000  # characters of one value: base64 pictures are cut, answers are not
#: Headers that tell about the message and hold no credential; the values of all others are taken out.
PLAIN_HEADERS = frozenset(
    {"accept", "content-type", "content-length", "host", "retry-after", "date", "server", "x-request-id"}
)


@dataclass
class Recorder:
    """An `Http` that keeps each exchange; the form is that of the adapters' recordings."""

    http: Http
    secrets: tuple[str, ...] = ()
    exchanges: list[dict[str, Any]] = field(default_factory=list)

    async def send(
        self,
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of what is asked: it runs from the hand-over, not from the call
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Send `request` through the real client and keep what was said."""
        kept: dict[str, Any] = {"request": self._request(request)}
        self.exchanges.append(kept)
        try:
            reply = await self.http.send(request, timeout=timeout, write_before=write_before, max_bytes=max_bytes)
        except (NotSentError, UnclearError) as error:
            kept["error"] = f"{type(error).__name__}: {self._text(str(error))}"
            raise
        kept["reply"] = {
            "status": reply.status,
            "headers": self._headers(reply.headers.items()),
            **self._body(reply.body),
        }
        return reply

    def _request(self, request: Request) -> dict[str, Any]:
        is_form = request.headers.get("content-type", "").startswith("multipart/")
        body = {"text": f"[multipart of {len(request.content)} bytes]"} if is_form else self._body(request.content)
        return {
            "method": request.method,
            "url": self._text(str(request.url.copy_with(query=None))),
            "headers": self._headers(request.headers.items()),
            **body,
        }

    def _headers(self, headers: Iterable[tuple[str, str]]) -> dict[str, str]:
        return {
            name.lower(): self._text(value) if name.lower() in PLAIN_HEADERS else REDACTED for name, value in headers
        }

    def _body(self, body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        try:
            return {"json": self._plain(json.loads(body))}
        except (ValueError, RecursionError):
            return {"text": self._text(body.decode("utf-8", "replace"))}

    def _plain(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: self._plain(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._plain(item, name) for item in value]
        if isinstance(value, str):
            return REDACTED if "token" in name.lower() or "secret" in name.lower() else self._text(value)
        return value

    def _text(self, value: str) -> str:
        for secret in self.secrets:
            value = value.replace(secret, REDACTED)
        return value if len(value) <= MAX_TEXT else f"{value[:64]}... [{len(value)} characters]"


def secrets_of(settings: BaseModel) -> tuple[str, ...]:
    """The values of an account's secrets."""
    values = (getattr(settings, name) for name in type(settings).model_fields)
    return tuple(value.get_secret_value() for value in values if isinstance(value, SecretStr) and value)
