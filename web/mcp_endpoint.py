"""The API's tools for assistants over HTTP: the streamable transport of the Model Context Protocol, without sessions.

Each request shows a token, as for the API, and is answered by itself, so that it does not matter which process gets it.
It exists where the extra `mcp` is installed.
"""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope, Send

from web.api.api import Api, as_problem
from web.api.bodies import MAX_CATALOG_BYTES
from web.api.endpoints import Service
from web.api.problems import ProblemError
from web.shared import Shared
from workers.config.extras import missing

PATH = "/mcp"
MAX_BYTES = MAX_CATALOG_BYTES + 64 * 1024  # of a call: a catalog's rows, and the protocol around them


class McpEndpoint:
    """Answers calls of assistants.

    Args:
        api: knows whose token a request shows, and has what the tools work with.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._manager = Shared(math.inf, self._begun)
        self._running: asyncio.Task[None] | None = None
        self._ending = asyncio.Event()

    async def close(self) -> None:
        """End what the first request began."""
        self._ending.set()
        if self._running is not None:
            await self._running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        request = Request(scope, receive)
        try:
            self._check(request)
            await self._api.program(request)
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - what is not expected is a problem too, and logged
            await as_problem(error).response()(scope, receive, send)
            return
        manager = await self._manager.get()
        await manager.handle_request(scope, receive, send)

    async def _begun(self) -> Any:
        """The library's manager, in a task of its own; not at the start, because it takes half a second to load."""
        manager = await run_in_threadpool(_made, self._api.service)
        ready = asyncio.Event()

        async def run() -> None:
            async with manager.run():
                ready.set()
                await self._ending.wait()

        self._running = asyncio.create_task(run())
        await ready.wait()
        return manager

    def _check(self, request: Request) -> None:
        if missing(["mcp"]):
            raise ProblemError(HTTPStatus.NOT_FOUND, "the extra mcp is not installed here", "path", PATH)
        if request.method != "POST":
            raise ProblemError(
                HTTPStatus.METHOD_NOT_ALLOWED, f"method: {request.method[:20]} is not possible here; allowed: POST",
                "method", request.method, "POST", headers={"Allow": "POST"},
            )  # fmt: skip
        # Assistants are not pages: a page of another site that sends this has found a name for our address.
        origin = request.headers.get("origin")
        if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
            raise ProblemError(HTTPStatus.FORBIDDEN, "Origin: it is another site", "Origin", origin)


def _made(service: Service) -> Any:
    manager = import_module("mcp.server.streamable_http_manager").StreamableHTTPSessionManager
    server = import_module("web.mcp_server").made(service, _shown)
    return manager(server, json_response=True, stateless=True, max_request_body_size=MAX_BYTES)


def _shown(context: Any) -> str:
    """The token of the request that a call came by."""
    return str(context.request.headers.get("authorization", "").partition(" ")[2].strip())
