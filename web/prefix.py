"""The path below which a reverse proxy serves this application, such as ``/recast`` of ``https://shop.example/recast``.

It is the path of RECAST_PUBLIC_URL, or what the proxy says in ``X-Forwarded-Prefix``. Requests may come with it or
without, because some proxies remove it and others do not; links always have it.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

HEADER = "x-forwarded-prefix"
# Plain segments: `//host` would be another site, and a quote would end an attribute.
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~-]+)+")


def prefix_of(public_url: str | None) -> str:
    """The path of `public_url`, without a slash at its end; empty if it has none."""
    return urlsplit(public_url or "").path.rstrip("/")


def prefix(request: Request) -> str:
    """What links of the page for `request` begin with."""
    said = request.headers.get(HEADER, "").strip().rstrip("/")
    found: str = said if _PREFIX.fullmatch(said) else request.scope.get("recast.prefix", "")
    return found


def within(prefix: str, path: str) -> str:
    """`path` as it is below `prefix`; unchanged where it is not below it."""
    return path.removeprefix(prefix) or "/" if f"{path}/".startswith(f"{prefix}/") else path


class Prefixed:
    """`app`, also below `prefix`."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self._app, self._prefix = app, prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, whether its path has the prefix or not."""
        if scope["type"] == "http" and self._prefix:
            path = within(self._prefix, scope["path"])
            if path != scope["path"]:
                scope = {**scope, "raw_path": scope.get("raw_path", b"").removeprefix(self._prefix.encode())}
            scope = {**scope, "path": path, "recast.prefix": self._prefix}
        await self._app(scope, receive, send)
