"""The front: what is refused of a request's form, and which requests go first.

Requests at paths that we signed are answered at once. All others anybody could send: those that come in a crowd
take turns, with pauses for the rest of the process. They wait here, where they have cost no more than to be read.

It stands behind uvicorn's own reading of proxies' headers, so it counts clients where connections show only proxies.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import ClientDisconnect
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from web.connections import PER_PLACE
from web.peers import peer_of
from web.turns import Turns, place_in

MAX_TARGET = 8 * 1024  # bytes of path and query; a link of ours has about 150
MAX_HEADERS = 16 * 1024  # bytes of all headers; browsers and providers send one or two KiB
MAX_HEADER_LINES = 100  # browsers send some twenty, proxies add a few
FEW = 32  # requests that wait without pauses: five browsers that load a page with pictures at the same time
PAUSE_SECONDS = 0.001  # between two turns, about as long as one takes: the loop is idle for half of the time at least


class Front:
    """`app` behind the checks.

    Args:
        app: answers.
        is_signed: whether we signed a path.
        per_place: requests of one address behind a proxy, signed and others, that are answered or wait at a time.
    """

    def __init__(
        self, app: ASGIApp, is_signed: Callable[[str], bool] = lambda _: False, per_place: int = PER_PLACE
    ) -> None:
        self._app, self._is_signed = app, is_signed
        self._per_place = per_place
        self._answering: Counter[tuple[str, bool]] = Counter()
        self._turns, self._free_at = Turns(self._pause), 0.0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = refusal(scope)
        is_signed = status is None and self._is_signed(scope["path"])
        # Who fills the places of an address with guesses leaves those of signed requests free.
        place = place_in(scope), is_signed
        if self._answering[place] >= self._per_place and not _is_direct(scope):
            await _refuse(HTTPStatus.TOO_MANY_REQUESTS, scope, receive, send)
            return
        self._answering[place] += 1
        try:
            if not is_signed:
                await self._turn(scope)
            if status is None:
                await self._app(scope, receive, send)
            else:
                await _refuse(status, scope, receive, send)
        except ClientDisconnect:
            pass  # nobody is there to be told anything
        finally:
            self._answering[place] -= 1
            if not self._answering[place]:
                del self._answering[place]

    async def _turn(self, scope: Scope) -> None:
        now = asyncio.get_running_loop().time()
        if self._turns or now < self._free_at:
            await self._turns.wait(scope)
        else:
            self._free_at = now + PAUSE_SECONDS

    async def _pause(self) -> None:
        self._free_at = asyncio.get_running_loop().time() + PAUSE_SECONDS
        await asyncio.sleep(PAUSE_SECONDS if len(self._turns) > FEW else 0)


async def _refuse(status: HTTPStatus, scope: Scope, receive: Receive, send: Send) -> None:
    headers = {"Connection": "close", "Cache-Control": "no-store"}
    await PlainTextResponse(f"{status.phrase.lower()}\n", status, headers)(scope, receive, send)


def _is_direct(scope: Scope) -> bool:
    """Whether a request's connection was counted as its client's own."""
    return peer_of(scope) == (scope.get("client") or ("",))[0]


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


def cut(scope: Scope) -> None:
    """Keep no more of a request that is refused than shows why: while it waits, the rest would fill the memory."""
    if refusal(scope) is None:
        return
    for part in ("path", "raw_path", "query_string"):
        scope[part] = scope[part][: MAX_TARGET + 1]
    scope["headers"][:] = [(name, value[: MAX_HEADERS + 1]) for name, value in scope["headers"][: MAX_HEADER_LINES + 1]]
