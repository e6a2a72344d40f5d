"""The sandbox's door: programs of this machine come in, web pages do not, and its own pages want a token.

A browser on this machine reaches loopback for whatever page it shows. Such a request names another site: as its origin,
or as its host, if the page's name was made to resolve to loopback.
"""

from __future__ import annotations

import hmac
import json
import secrets
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from workers import private

CONTROL = "/_sandbox/"
STATE_FILE = "control.json"  # in the sandbox's home; only its owner can read it
TOKEN_BYTES = 24
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def token_of(home: Path) -> str:
    """The token of the sandbox in `home`, made with its first start."""
    state = private.folder(home) / STATE_FILE
    try:
        return str(json.loads(state.read_text())["token"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        token = secrets.token_urlsafe(TOKEN_BYTES)
        private.write(state, json.dumps({"token": token}) + "\n")
        return token


class Door:
    """`app` behind the checks.

    Args:
        app: the sandbox.
        token: opens its own pages, as ``Authorization: Bearer TOKEN``, or as ``?token=TOKEN`` for people.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        answer = self._refusal(scope) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> PlainTextResponse | None:
        headers = Headers(scope=scope)
        if _host(f"//{headers.get('host', '')}") not in LOOPBACK:
            return PlainTextResponse("the sandbox is for this machine: use 127.0.0.1 or localhost\n", 421)
        foreign = headers.get("sec-fetch-site", "none") not in {"none", "same-origin"}
        if foreign or headers.get("origin") not in {None, f"http://{headers.get('host')}"}:
            return PlainTextResponse("the sandbox answers no web pages of other sites\n", 403)
        if scope["path"].startswith(CONTROL) and not self._knows(scope, headers):
            return PlainTextResponse(f"the token in {STATE_FILE} of the sandbox's folder is missing\n", 401)
        return None

    def _knows(self, scope: Scope, headers: Headers) -> bool:
        asked = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        given = headers.get("authorization", "").removeprefix("Bearer ") or asked
        return hmac.compare_digest(given.encode(), self._token)


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
