"""Who a connection comes from, noted before headers of proxies say for whom."""

from __future__ import annotations

from collections.abc import Sequence

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

KEY = "recast.peer"


class Peers:
    """`app`, which can ask who the other end of a connection is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        await self._app({**scope, KEY: (scope.get("client") or (None,))[0]}, receive, send)


def behind(app: ASGIApp, proxies: Sequence[str]) -> ASGIApp:
    """`app` with clients as these proxies name them in X-Forwarded-For; without proxies nobody is believed."""
    return Peers(ProxyHeadersMiddleware(app, list(proxies)) if proxies else app)  # type: ignore[arg-type]


def peer_of(scope: Scope) -> str | None:
    """The address from which a request came to us, whatever it says; None where that is not known."""
    found: str | None = scope.get(KEY)
    return found
