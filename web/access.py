"""Access to the gallery: HTTP Basic with the user and password of RECAST_WEB_AUTH, and security headers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping

from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from web.guesses import Lane

WRONG_SECONDS = 0.3  # before a wrong password is rejected: slow for guessing, unnoticed after a typing error
COOKIE = "recast_pass"  # of browsers that have had the right password; it opens nothing
COOKIE_SECONDS = 30 * 24 * 3600  # a month, so that people rarely wait for a turn

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
    """Accepts requests with the right user and password.

    Args:
        auth: ``user:password``.
        lane: where wrong passwords make others wait.
    """

    def __init__(self, auth: SecretStr, lane: Lane | None = None) -> None:
        self._expected = auth.get_secret_value().encode()
        self._lane = lane or Lane()
        # Of clients that have had the right password: they still need it, and wait for no turn.
        key = hashlib.sha256(b"pass:" + self._expected).digest()
        self._pass = hmac.digest(key, b"recast", "sha256").hex()

    def guarded(self, handler: Handler) -> Handler:
        """`handler` behind the password; responses carry `HEADERS` and are not cached unless `handler` says so."""

        async def respond(request: Request) -> Response:
            if await self._may_enter(request):
                response = await handler(request)
                if not self._has_pass(request):
                    secure = request.url.scheme == "https"
                    response.set_cookie(
                        COOKIE, self._pass, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure
                    )
            else:
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

    async def _may_enter(self, request: Request) -> bool:
        header = request.headers.get("authorization", "")
        if not header:  # which guesses nothing: a browser's first request
            return False
        if not self._has_pass(request):
            await self._lane.turn(request)
        if self._knows(header):
            return True
        self._lane.was_wrong()
        await asyncio.sleep(WRONG_SECONDS)
        return False

    def _has_pass(self, request: Request) -> bool:
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._pass.encode())

    def _knows(self, header: str) -> bool:
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, self._expected)
