"""Access to the gallery: HTTP Basic with the user and password of RECAST_WEB_AUTH, and security headers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
from collections.abc import Awaitable, Callable, Mapping

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

WRONG_SECONDS = 0.3  # before a wrong password is rejected: slow for guessing, unnoticed after a typing error

Handler = Callable[[Request], Awaitable[Response]]

#: Nothing from other origins, and no inline scripts or styles: text that escapes its place can do nothing.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Access:
    """Accepts requests with the right user and password."""

    def __init__(self, auth: SecretStr) -> None:
        self._expected = auth.get_secret_value().encode()

    def guarded(self, handler: Handler) -> Handler:
        """`handler` behind the password; responses carry `HEADERS` and are not cached unless `handler` says so."""

        async def respond(request: Request) -> Response:
            if self._knows(request.headers.get("authorization", "")):
                response = await handler(request)
            else:
                await asyncio.sleep(WRONG_SECONDS)
                response = PlainTextResponse(
                    "log in with the user and password of RECAST_WEB_AUTH\n",
                    401,
                    {"WWW-Authenticate": 'Basic realm="Recast", charset="UTF-8"'},
                )
            for name, value in HEADERS.items():
                response.headers[name] = value
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return respond

    def _knows(self, header: str) -> bool:
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, self._expected)
