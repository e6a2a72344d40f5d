"""The recorder of exchanges with a provider, without secrets: for a paid check, or a report of a fault."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from providers.http import Request
from providers.protocol import MAX_ANSWER_BYTES, Http, NotSentError, Reply, UnclearError
from workers.http.redaction import Redactor

MAX_TEXT = 4_000  # characters of one value: base64 pictures are cut, answers are not


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
            kept["error"] = f"{type(error).__name__}: {self._redactor.text(str(error))}"
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
            return {"json": _cut(self._redactor.json(json.loads(body)))}
        except (ValueError, RecursionError):
            return {"text": _cut(self._redactor.text(body.decode("utf-8", "replace")))}


def _cut(value: Any) -> Any:
    """A JSON document whose long texts are cut."""
    if isinstance(value, dict):
        return {key: _cut(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    if isinstance(value, str) and len(value) > MAX_TEXT:
        return f"{value[:64]}... [{len(value)} characters]"
    return value
