"""The writer of outcomes: takes them one by one, writes them in groups, and drops none."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar

import structlog
from sqlalchemy.orm import Session

from models.availability import is_unavailable
from workers.backoff import Backoff
from workers.engine.in_flight import InFlight
from workers.engine.runtime import Runtime
from workers.failures import describe

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

GROUP_SIZE = 250  # outcomes in one statement; more gains nothing and locks longer
GROUP_SECONDS = 0.05  # how long an outcome may wait for company; where many come, twice as long
MANY = 16  # outcomes that came together: as many as a group itself costs
DATABASE_RETRY = Backoff(first=0.2, cap=5.0)  # a restarted database is back within seconds

log = structlog.get_logger()


class BatchWriter(Generic[T]):
    """Collects outcomes and writes them together; nothing that was put in is ever dropped.

    While the database is unavailable (`models.availability`), the unwritten outcomes are kept and tried again. A group
    that the database refuses is cut in halves until a group has only the one outcome that it refuses, which is given to
    `fallback`.
    Made on the event loop; a context that ends when all is written.

    Args:
        runtime: the process's way to the database.
        write: writes a group of outcomes.
        after: what follows from a written group, by what `write` returned; it may be slow or fail.
        fallback: writes what is certain of an outcome that the database refuses.
        done: called for each outcome once it is written or fallback.
    """

    def __init__(
        self,
        runtime: Runtime,
        write: Callable[[Session, Sequence[T]], R],
        *,
        after: Callable[[R], Awaitable[None]],
        fallback: Callable[[Session, T, Exception], None],
        done: Callable[[T], None] = lambda _: None,
    ) -> None:
        self._runtime = runtime
        self._write = write
        self._after = after
        self._fallback = fallback
        self._done = done
        self._waiting: list[T] = []
        self._filled = asyncio.Event()
        self._closing = False
        self._following = InFlight()
        self._task = asyncio.ensure_future(self._run())

    def put(self, outcome: T) -> None:
        """Take an outcome to be written soon."""
        self._waiting.append(outcome)
        self._filled.set()

    async def close(self) -> None:
        """Write what is left and stop."""
        self._closing = True
        self._filled.set()
        await self._task
        await self._following.wait_for_all()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _run(self) -> None:
        while True:
            await self._filled.wait()
            if not self._closing and len(self._waiting) < GROUP_SIZE:
                await asyncio.sleep(GROUP_SECONDS)
                if MANY <= len(self._waiting) < GROUP_SIZE and not self._closing:
                    await asyncio.sleep(GROUP_SECONDS)
            taken, self._waiting = self._waiting[:GROUP_SIZE], self._waiting[GROUP_SIZE:]
            if taken:
                await self._settle(taken)
                for outcome in taken:
                    self._done(outcome)
            if not self._waiting:
                self._filled.clear()
                if self._closing:
                    return

    async def _settle(self, outcomes: list[T]) -> None:
        try:
            result = await self._patiently(self._write, outcomes)
        except Exception as error:  # noqa: BLE001 - any error is the one to report
            # The database, or the driver before it, refuses something in here.
            if len(outcomes) > 1:
                middle = len(outcomes) // 2
                await self._settle(outcomes[:middle])
                await self._settle(outcomes[middle:])
            else:
                await self._spoil(outcomes[0], error)
            return
        # Not waited for: a broker that is away must not hold up what can be written.
        self._following.start(self._follow(result))

    async def _follow(self, result: Any) -> None:
        try:
            await self._after(result)
        except Exception:
            # It is written; whom it concerns is found by the sweep.
            log.exception("notification_failed")

    async def _spoil(self, outcome: T, error: Exception) -> None:
        log.error("outcome_refused_by_database", error=type(error).__name__)
        try:
            await self._patiently(self._fallback, outcome, error)
        except Exception:
            log.exception("outcome_not_recorded")

    async def _patiently(self, work: Callable[Concatenate[Session, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `work(session, ...)`; while the database is away, wait and ask again."""
        for step in itertools.count():
            try:
                return await self._runtime.adb(work, *args, **kwargs)
            except Exception as error:
                if not is_unavailable(error):
                    raise
                log.warning("outcomes_wait_for_database", error=describe(error))
                await asyncio.sleep(DATABASE_RETRY.delay(step))
        raise AssertionError("unreachable")
