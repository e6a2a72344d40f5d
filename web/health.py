"""The health check, for load balancers and people."""

from __future__ import annotations

from functools import partial

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.connection import ping
from web.shared import Shared

FRESH_SECONDS = 0.5  # for which one look at the database answers everybody: load balancers ask every few seconds


class Health:
    """Answers ``/healthz``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._answers = Shared(FRESH_SECONDS, partial(run_in_threadpool, self._database_answers))

    async def show(self, _: Request) -> Response:
        """200 while the database answers; 503 names what is missing."""
        if await self._answers.get():
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unavailable", "missing": ["database"]}, 503)

    def _database_answers(self) -> bool:
        try:
            with self._engine.connect() as connection:
                ping(connection)
        except SQLAlchemyError:
            return False
        return True
