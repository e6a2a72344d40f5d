"""The sandbox as one ASGI application: every provider under its own prefix, plus the sandbox's own pages."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import asdict

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route

from sandbox.bill import bill
from sandbox.config import SandboxConfig
from sandbox.desk import Desk
from sandbox.faults import Rule
from sandbox.files import Files
from sandbox.hidream import Hidream
from sandbox.piktid import Piktid
from sandbox.qolaba import Qolaba
from sandbox.replicate import Replicate
from sandbox.zhiqite import Zhiqite

PROVIDERS: dict[str, type[Zhiqite | Qolaba | Piktid | Hidream | Replicate]] = {
    "zhiqite": Zhiqite,
    "qolaba": Qolaba,
    "piktid": Piktid,
    "hidream": Hidream,
    "replicate": Replicate,
}


def build(config: SandboxConfig) -> Starlette:
    """Return the sandbox: ``/<provider>/...``, ``/_files/...`` and ``/_sandbox/{bill,jobs,stats,faults}``.

    The state under `config.home` is opened at once and belongs to this application until its lifespan ends.
    """
    desk = Desk(config)
    control = _Control(desk)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await desk.open()
        try:
            yield
        finally:
            await desk.close()

    return Starlette(
        lifespan=lifespan,
        routes=[
            *(Mount(f"/{name}", routes=provider(desk).routes()) for name, provider in PROVIDERS.items()),
            Route("/_files/{provider}/{name}", Files(desk).get),
            Mount("/_sandbox", routes=control.routes()),
        ],
    )


class _Control:
    """The sandbox's own pages, for tests; no provider has them."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def routes(self) -> list[Route]:
        return [
            Route("/bill", self.bill),
            Route("/jobs", self.jobs),
            Route("/stats", self.stats),
            Route("/faults", self.faults),
            Route("/faults", self.add_fault, methods=["POST"]),
            Route("/faults", self.clear_faults, methods=["DELETE"]),
        ]

    async def bill(self, request: Request) -> Response:
        """Return the bill, of one provider or account if the query says so."""
        provider, account = request.query_params.get("provider"), request.query_params.get("account")
        return JSONResponse(bill(await self._desk.jobs.all(provider=provider, account=account), time.time()))

    async def jobs(self, request: Request) -> Response:
        """Return the jobs in full, of one provider or account if the query says so."""
        provider, account = request.query_params.get("provider"), request.query_params.get("account")
        now = time.time()
        jobs = await self._desk.jobs.all(provider=provider, account=account)
        return JSONResponse([asdict(job) | {"state": job.state(now)} for job in jobs])

    async def stats(self, _: Request) -> Response:
        """Return the counts since the start, and `billed`: the lines on the bill, earlier starts included."""
        return JSONResponse(self._desk.stats.describe(time.time()) | {"billed": await self._desk.jobs.count()})

    async def faults(self, _: Request) -> Response:
        """Return the fault rules and how often each has fired."""
        return JSONResponse(self._desk.faults.describe())

    async def add_fault(self, request: Request) -> Response:
        """Add a fault rule; 400 names what is wrong with it."""
        try:
            self._desk.faults.add(Rule.model_validate_json(await request.body()))
        except ValidationError as error:
            return PlainTextResponse(str(error), 400)
        return await self.faults(request)

    async def clear_faults(self, request: Request) -> Response:
        """Drop all fault rules."""
        self._desk.faults.clear()
        return await self.faults(request)
