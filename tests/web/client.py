"""Asks an application without a server between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from starlette.applications import Starlette

from tests.http import ASGITransport, AsyncClient, Response


class Client:
    """A browser's requests, on one event loop; a context manager around the application's life."""

    def __init__(self, app: Starlette, auth: str | None = None) -> None:
        user, _, password = (auth or "").partition(":")
        self._runner = asyncio.Runner()
        self._life = app.router.lifespan_context(app)
        self._client = AsyncClient(
            transport=ASGITransport(app, raise_app_exceptions=False),
            base_url="http://recast",
            auth=(user, password) if auth else None,
        )

    def __enter__(self) -> Self:
        self._runner.run(self._life.__aenter__())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._runner.run(self._client.aclose())
        self._runner.run(self._life.__aexit__(kind, error, trace))
        self._runner.close()

    def get(
        self, path: str, *, params: Mapping[str, Any] | None = None, headers: Mapping[str, Any] | None = None
    ) -> Response:
        """What is answered, behind redirects."""
        return self._runner.run(self._client.get(path, params=params, headers=headers, follow_redirects=True))

    def post(self, path: str, fields: Mapping[str, Any] | str, *, headers: Mapping[str, Any] | None = None) -> Response:
        """What is answered to a form, not behind redirects."""
        body = fields if isinstance(fields, str) else urlencode(fields, doseq=True)
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._runner.run(self._client.post(path, content=body, headers=kind | dict(headers or {})))

    def cookies(self) -> dict[str, str]:
        """The cookies that the browser keeps."""
        return dict(self._client.cookies)

    def forget_cookies(self) -> None:
        """Be another browser from now on."""
        self._client.cookies.clear()
