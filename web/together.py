"""Requests that are answered together: what comes while the database is at work is its next group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

from starlette.concurrency import run_in_threadpool

from models.availability import is_unavailable

T = TypeVar("T")
R = TypeVar("R")

LARGEST = 64  # requests in one group: more gain nothing
AT_ONCE = 2  # groups: one that the database is slow with does not stop the next


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
        self._at_work = 0
        self._tasks: set[asyncio.Task[None]] = set()  # an event loop keeps no task that nobody else does

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
            task = asyncio.get_running_loop().create_task(self._run(), context=Context())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await answer

    async def _run(self) -> None:
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:LARGEST], self._waiting[LARGEST:]
                await self._answer(group)
        finally:
            # In the very step of the last look: a request that comes after it starts another one.
            self._at_work -= 1

    async def _answer(self, group: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        try:
            answers = await run_in_threadpool(self._work, [request for request, _ in group])
            told = list(zip((answer for _, answer in group), answers, strict=True))
        except Exception as error:  # noqa: BLE001 - it is the answer to these requests
            if len(group) > 1 and not is_unavailable(error):
                for each in group:
                    await self._answer([each])
                return
            for _, answer in group:
                if not answer.done():
                    answer.set_exception(error)
            return
        for answer, found in told:
            if not answer.done():  # a client that hung up waits for none
                answer.set_result(found)
