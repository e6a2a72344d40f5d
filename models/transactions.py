"""The database for pumps: short transactions, repeated after a deadlock, in threads beside the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session, sessionmaker

from models.connection import CONNECTIONS, make_engine, make_sessions

P = ParamSpec("P")
T = TypeVar("T")

DEADLOCK_TRIES = 5
RETRYABLE_SQLSTATES = frozenset({"40001", "40P01", "55P03"})

log = structlog.get_logger()


class Database:
    """One process's way to PostgreSQL.

    Args:
        url: of the database.
        connections: the most at a time; there are half as many threads for blocking work, because task slots and the
            renewal of tokens need connections beside them.
    """

    def __init__(self, url: str, connections: int = CONNECTIONS) -> None:
        self._url = url
        self._connections = connections

    @cached_property
    def engine(self) -> Engine:
        """The pool of connections."""
        return make_engine(self._url, connections=self._connections)

    @cached_property
    def sessions(self) -> sessionmaker[Session]:
        """Sessions of the database."""
        return make_sessions(self.engine)

    @cached_property
    def threads(self) -> ThreadPoolExecutor:
        """Threads for blocking work of pumps."""
        return ThreadPoolExecutor(max(1, self._connections // 2), thread_name_prefix="recast-db")

    def db(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run `work(session, ...)` in one transaction; a deadlock or a lock time-out is tried again."""
        for tries_left in reversed(range(DEADLOCK_TRIES)):
            try:
                with self.sessions.begin() as session:
                    return work(session, *args, **kwargs)
            except DBAPIError as error:
                if not tries_left or getattr(error.orig, "sqlstate", None) not in RETRYABLE_SQLSTATES:
                    raise
                log.info("transaction_retried", sqlstate=getattr(error.orig, "sqlstate", None))
        raise AssertionError("unreachable")

    async def adb(self, work: Callable[Concatenate[Session, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`db` from the event loop, in one of the threads."""
        return await self.in_thread(partial(self.db, work, *args, **kwargs))

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run blocking `work` in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self.threads, partial(work, *args, **kwargs))

    def close(self) -> None:
        """Close every connection that was opened."""
        if "threads" in self.__dict__:
            self.threads.shutdown()
        if "engine" in self.__dict__:
            self.engine.dispose()
