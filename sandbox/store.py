"""The sandbox's durable memory: one SQLite file whose writes are committed in groups.

WAL mode keeps it through a SIGKILL at any instant. Rows are written at once and committed in groups: a writer waits
for the commit, so no answer, not even to a poll, reports a row that a kill could still remove.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

GROUP_SECONDS = 0.002  # writes arriving within it share one commit; a caller notices nothing of 2 ms


class Store:
    """One SQLite file; used from one event loop only."""

    def __init__(self, path: Path) -> None:
        # Opened where the application is built, used where its loop runs, which a test puts into another thread.
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        # NORMAL syncs at checkpoints only: what a kill of this process can take is nothing, with or without a sync.
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._waiting: list[asyncio.Future[None]] = []

    def create(self, schema: str) -> None:
        """Run the statements of `schema`, which create what is not there yet."""
        self._db.executescript(schema)

    def close(self) -> None:
        """Commit what is open and close the file."""
        self._commit()
        self._db.close()

    def read(self, query: str, cells: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run a query; see `settled` for what it may find that is not committed."""
        return self._db.execute(query, cells)

    def write(self, query: str, cells: Sequence[Any] = ()) -> sqlite3.Cursor:
        """Run one statement in the group's transaction; it counts only once `committed` has returned."""
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")
        return self._db.execute(query, cells)

    async def committed(self) -> None:
        """Wait until everything written so far is committed."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_later(GROUP_SECONDS, self._commit)
        future: asyncio.Future[None] = loop.create_future()
        self._waiting.append(future)
        await future

    async def settled(self) -> None:
        """Wait for the commit of whatever a query would find now."""
        if self._waiting:
            await self.committed()

    def _commit(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            if self._db.in_transaction:
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            for future in waiting:
                if not future.done():
                    future.set_exception(error)
            return
        for future in waiting:
            if not future.done():
                future.set_result(None)
