"""Requests that are answered together: what comes while the database is at work is its next group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

from models.availability import is_unavailable
from workers.engine.in_flight import InFlight

T = TypeVar("T")
R = TypeVar("R")

LARGEST = 64  # requests in one group: more gain nothing
AT_ONCE = 2  # groups: one that the database is slow with does not stop the next

_Group = Sequence[tuple[T, asyncio.Future[R]]]


class Together(Generic[T, R]):
    """Asks for many what is asked for one; for one event loop.

    Nobody waits for company: a first request is a group of its own, and those that come until it is answered are the
    next. A group that the database refuses is asked for one by one, so that no request harms another.

    Args:
        work: the answer to each of these requests, in their order; runs in a thread, and must not wait for locks, as
            all of a group would wait.
    """

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._at_work = 0  # not the tasks: one that has ended is among them for a moment
        self._tasks = InFlight()

    async def ask(self, request: T) -> R:
        """The answer to one request.

        Raises:
            Exception: what `work` raised for the whole of a group because the database is away, or for this request.
        """
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, answer))
        if self._at_work < AT_ONCE:
            self._at_work += 1
            # What is bound to one request's log lines is not the others'.
            Context().run(self._tasks.start, self._run())
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                # A client that hung up, or did not wait so long, is not asked for.
                waiting = [each for each in self._waiting if not each[1].done()]
                group, self._waiting = waiting[:LARGEST], waiting[LARGEST:]
                if group:
                    await self._answer(group)
        finally:
            # In the very step of the last look: a request that comes after it starts another one.
            self._at_work -= 1

    async def _answer(self, group: _Group[T, R]) -> None:
        error = await self._tried(group)
        if error is None:
            return
        if len(group) == 1 or is_unavailable(error):
            _fail(group, error)
            return
        for number, each in enumerate(group):
            alone = await self._tried([each])
            if alone is not None and is_unavailable(alone):
                _fail(group[number:], alone)
                return
            if alone is not None:
                _fail([each], alone)

    async def _tried(self, group: _Group[T, R]) -> Exception | None:
        """Answer a group, or return why it cannot be."""
        try:
            found = await run_in_threadpool(self._work, [request for request, _ in group])
            answers = list(zip((answer for _, answer in group), found, strict=True))
        except Exception as error:  # noqa: BLE001 - it is the answer to these requests
            return error
        for answer, each in answers:
            if not answer.done():
                answer.set_result(each)
        return None


def _fail(group: _Group[T, R], error: Exception) -> None:
    for _, answer in group:
        if not answer.done():
            answer.set_exception(error)
