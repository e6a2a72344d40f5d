"""The health check, for load balancers and people."""

from __future__ import annotations

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from models.connection import ping


class Health:
    """Answers ``/healthz``."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def show(self, _: Request) -> Response:
        """200 while the database answers; 503 names what is missing."""
        if await run_in_threadpool(self._database_answers):
            return JSONResponse({"status": "ok"})
        return JSONResponse({"status": "unavailable", "missing": ["database"]}, 503)

    def _database_answers(self) -> bool:
        try:
            with self._engine.connect() as connection:
                ping(connection)
        except SQLAlchemyError:
            return False
        return True
