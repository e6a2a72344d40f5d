"""Pumps that requests have work for: they are woken apart from the answers."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context

import structlog

from models.transactions import Database
from workers.engine.wake import poll_pump, wake
from workers.failures import describe

AT_ONCE = 4  # accounts: each takes a connection to the database, and a lease that is locked makes it wait
CLOSING_SECONDS = 5.0  # for what is being woken when the process ends; the sweep finds the rest

log = structlog.get_logger()


class Wakes:
    """Wakes the poll pumps of accounts, each by itself; for one event loop.

    Nobody waits for it: a broker that is away is tried for seconds, and a provider may wait for no more than five.
    What is lost here, the sweep finds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._threads = _threads()
        self._tasks: dict[str, asyncio.Task[None]] = {}
        #: Accounts whose pump is to be woken once more: what has come may be missed by the wake-up under way.
        self._again: set[str] = set()

    def soon(self, account: str) -> None:
        """Wake an account's pump."""
        if account in self._tasks:
            self._again.add(account)
        else:
            self._tasks[account] = asyncio.get_running_loop().create_task(self._run(account), context=Context())

    async def close(self) -> None:
        """Wait until those that are to be woken are, for some seconds."""
        if self._tasks:
            await asyncio.wait([*self._tasks.values()], timeout=CLOSING_SECONDS)
        threads, self._threads = self._threads, _threads()  # an application may be opened again
        threads.shutdown(wait=False, cancel_futures=True)

    async def _run(self, account: str) -> None:
        try:
            while True:
                self._again.discard(account)
                await self._wake(account)
                if account not in self._again:
                    return
        finally:
            del self._tasks[account]  # in the step of the last look at `_again`

    async def _wake(self, account: str) -> None:
        try:
            loop = asyncio.get_running_loop()
            await loop.run_in_executor(self._threads, wake, self._database, poll_pump(account))
        except Exception as error:  # noqa: BLE001 - there is nobody else to tell
            log.warning("not_woken", account=account, error=describe(error))


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(AT_ONCE, thread_name_prefix="recast-wake")
