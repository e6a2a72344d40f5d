"""The front: what is refused of a request's form, and how many requests of one address are answered at a time.

It stands behind uvicorn's own reading of proxies' headers, so it counts clients where the wire can count only proxies.
"""

from __future__ import annotations

from collections import Counter
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from web.connections import PER_PLACE, place_of

MAX_TARGET = 8 * 1024  # bytes of path and query; a link of ours has about 150
MAX_HEADERS = 16 * 1024  # bytes of all headers; browsers and providers send one or two KiB
MAX_HEADER_LINES = 100  # browsers send some twenty, proxies add a few


class Front:
    """`app` behind the checks."""

    def __init__(self, app: ASGIApp, per_place: int = PER_PLACE) -> None:
        self._app = app
        self._per_place = per_place
        self._answering: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = refusal(scope)
        place = place_of((scope.get("client") or ("",))[0])
        if status is None and self._answering[place] >= self._per_place:
            status = HTTPStatus.TOO_MANY_REQUESTS
        if status is not None:
            headers = {"Connection": "close", "Cache-Control": "no-store"}
            await PlainTextResponse(f"{status.phrase.lower()}\n", status, headers)(scope, receive, send)
            return
        self._answering[place] += 1
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to be told anything
        finally:
            self._answering[place] -= 1
            if not self._answering[place]:
                del self._answering[place]


def refusal(scope: Scope) -> HTTPStatus | None:
    """The status with which a request is refused for its form; None if it is not."""
    names = [name for name, _ in scope["headers"]]
    coded = names.count(b"transfer-encoding")
    # Two parties that disagree about where a request ends can be made to see two requests where there is one.
    if coded and (coded > 1 or b"content-length" in names or scope["http_version"] == "1.0"):
        return HTTPStatus.BAD_REQUEST
    if names.count(b"host") > 1 or not scope["raw_path"].startswith(b"/"):
        return HTTPStatus.BAD_REQUEST
    if len(scope["raw_path"]) + len(scope["query_string"]) > MAX_TARGET:
        return HTTPStatus.REQUEST_URI_TOO_LONG
    if len(names) > MAX_HEADER_LINES or sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
        return HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
    return None
