"""The recorder of exchanges with a provider, without secrets: for a paid check, or a report of a fault.

A recording is shown to others, so it is stricter than what is kept of answers: links lose whatever makes them work, and
every text loses what stands beside a secret's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

from providers.http import Request
from providers.protocol import MAX_ANSWER_BYTES, Http, NotSentError, Reply, UnclearError
from workers.http.redaction import Redactor
from workers.http.shown_urls import REDACTED, without_url_secrets

MAX_TEXT = 4_000  # characters of one value: base64 pictures are cut, answers are not


_NAME = "token|secret|password|passwd|api_?key|signature|credential|authorization|cookie|session"
_TELLING = re.compile(f"{_NAME}|key|^sign$", re.IGNORECASE)
#: In a text that is not JSON, or that is JSON within JSON: a secret's name, and its value.
_NAMED = re.compile(
    rf"((?:{_NAME})\w*[\\\"']*\s*[:=]\s*[\\\"']*(?:(?:Bearer|Basic)\s+)?)[^\s\"'\\&,;}}]+", re.IGNORECASE
)
_SIGNED_TOKEN = re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*")  # a JSON Web Token
_ADDRESS = re.compile(r"(https?://[^/\s\"'<>]+)(/[^\s\"'<>?#]*)", re.IGNORECASE)
#: A part of a path that cannot be guessed: where it stands, the address alone is enough to read the file.
_OPAQUE = re.compile(r"(?=[\w.~-]*\d)[\w~-]{16,}")


class Recorder:
    """An `Http` that keeps each exchange; the form is that of the adapters' recordings.

    Args:
        http: the real one.
        secrets: of the account; these are removed however short they are, because here requests are kept as well.
    """

    def __init__(self, http: Http, secrets: Iterable[str] = ()) -> None:
        self._http = http
        self._redactor = Redactor(secrets, shortest=1)
        self.exchanges: list[dict[str, Any]] = []

    async def send(
        self,
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of what is asked: it runs from the hand-over, not from the call
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Send `request` through the real client and keep what was said."""
        await request.aread()  # a form is put together only now
        kept: dict[str, Any] = {"request": self._request(request)}
        self.exchanges.append(kept)
        try:
            reply = await self._http.send(request, timeout=timeout, write_before=write_before, max_bytes=max_bytes)
        except (NotSentError, UnclearError) as error:
            kept["error"] = f"{type(error).__name__}: {self._text(str(error))}"
            raise
        kept["reply"] = {
            "status": reply.status,
            "headers": self._redactor.headers(reply.headers),
            **self._body(reply.body),
        }
        return reply

    def _request(self, request: Request) -> dict[str, Any]:
        is_form = request.headers.get("content-type", "").startswith("multipart/")
        body = {"text": f"[multipart of {len(request.content)} bytes]"} if is_form else self._body(request.content)
        return {
            "method": request.method,
            "url": self._redactor.text(str(request.url.copy_with(query=None))),
            "headers": self._redactor.headers(request.headers),
            **body,
        }

    def _body(self, body: bytes) -> dict[str, Any]:
        if not body:
            return {}
        try:
            return {"json": _cut(self._json(json.loads(body)))}
        except (ValueError, RecursionError):
            return {"text": _cut(self._text(body.decode("utf-8", "replace")))}

    def _json(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {self._text(key): self._json(item, key) for key, item in value.items()}
        if isinstance(value, list):
            return [self._json(item, name) for item in value]
        if isinstance(value, str):
            return REDACTED if _TELLING.search(name) else self._text(value)
        return value

    def _text(self, value: str) -> str:
        if len(value) > MAX_TEXT and value.startswith("data:"):
            return value  # a picture, which is cut
        plain = without_url_secrets(self._redactor.text(value))
        plain = _ADDRESS.sub(lambda found: found[1] + _OPAQUE.sub(REDACTED, found[2]), plain)
        return _SIGNED_TOKEN.sub(REDACTED, _NAMED.sub(rf"\g<1>{REDACTED}", plain))


def _cut(value: Any) -> Any:
    """A JSON document whose long texts are cut."""
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:64]}... [{len(value)} characters]"
    return value
