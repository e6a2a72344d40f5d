"""Pumps that requests have work for: they are woken apart from the answers."""

from __future__ import annotations

import asyncio

import structlog
from starlette.concurrency import run_in_threadpool

from models.transactions import Database
from workers.engine.wake import poll_pump, wake
from workers.failures import describe

log = structlog.get_logger()


class Wakes:
    """Wakes the poll pumps of accounts, one after the other; for one event loop.

    Nobody waits for it: a broker that is away is tried for seconds, and a provider may wait for no more than five.
    What is lost here, the sweep finds.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._accounts: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    def soon(self, account: str) -> None:
        """Wake an account's pump as soon as those before it are woken."""
        self._accounts.add(account)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self) -> None:
        """Wait until those that are to be woken are."""
        if self._task is not None:
            await self._task

    async def _run(self) -> None:
        while self._accounts:
            accounts, self._accounts = self._accounts, set()
            try:
                await run_in_threadpool(wake, self._database, *map(poll_pump, sorted(accounts)))
            except Exception as error:  # noqa: BLE001 - there is nobody else to tell
                log.warning("not_woken", accounts=len(accounts), error=describe(error))
