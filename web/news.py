"""News of a deployment: one reader of the database, however many listen to this process.

While anyone listens, a thread looks every second for what has happened since, and each listener hears of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import structlog
from sqlalchemy.orm import Session

from models.availability import is_unavailable
from models.transactions import Database
from reports.batch import BatchReport, changed
from reports.events import Event, EventPlace, events, settled

LOOK_SECONDS = 1.0  # between two looks of the one reader: quick for a person, and two short queries
AT_ONCE = 1_000  # events that are read at a time
MOST_AT_A_LOOK = 2_000  # events; the next look reads on
RECOUNTED_SECONDS = 10.0  # for which a batch that the sweep has counted is looked at: longer than between two looks
MOST_BATCHES = 500  # whose numbers are compared at each look

log = structlog.get_logger()


class NewsListener(Protocol):
    """Who hears of news, on the event loop."""

    def hear(self, happened: Sequence[Event], batches: Sequence[BatchReport]) -> None:
        """Hear what has happened, and of which batches the numbers differ."""
        ...

    def end(self) -> None:
        """Hear nothing more."""
        ...


class News:
    """What happens, for everybody who listens to this process.

    Args:
        database: read by one thread.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recast-events")
        self._listeners: set[NewsListener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._place = EventPlace.at(0)
        self._told: dict[int, tuple[Any, ...]] = {}
        #: Whether nobody may listen any more.
        self.closed = False

    def close(self) -> None:
        """End all who listen; call on the event loop."""
        self.closed = True
        for listener in tuple(self._listeners):
            listener.end()
        if self._reader is not None:
            self._reader.cancel()

    def shut(self) -> None:
        """Give the thread back, once nobody is answered any more."""
        self._thread.shutdown(cancel_futures=True)

    async def join(self, listener: NewsListener) -> EventPlace:
        """Tell `listener` from now on what happens; the place behind which it hears of everything."""
        self._listeners.add(listener)
        try:
            if self._reader is None or self._reader.done():
                self._place = EventPlace.at(await self.read(settled))
                self._reader = asyncio.create_task(self._look())
        except BaseException:
            self.leave(listener)
            raise
        return self._place

    def leave(self, listener: NewsListener) -> None:
        """Tell it nothing more."""
        self._listeners.discard(listener)

    async def read(self, work: Any, *given: Any) -> Any:
        """`work(session, ...)` in the one thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._database.db(work, *given))

    async def _look(self) -> None:
        """Tell all listeners what happens, for as long as there are any."""
        while self._listeners and not self.closed:
            try:
                happened, batches = await self.read(self._news)
            except Exception as error:
                if not is_unavailable(error):
                    for listener in tuple(self._listeners):
                        listener.end()
                    raise
                log.info("events_wait_for_database")
                happened, batches = [], []
            for listener in tuple(self._listeners) if happened or batches else ():
                listener.hear(happened, batches)
            await asyncio.sleep(LOOK_SECONDS)

    def _news(self, session: Session) -> tuple[list[Event], list[BatchReport]]:
        until = settled(session)
        news: list[Event] = []
        for _ in range(MOST_AT_A_LOOK // AT_ONCE):
            found, self._place, all_read = events(session, self._place, until, AT_ONCE)
            news += found
            if all_read:
                break
        reports = changed(session, RECOUNTED_SECONDS, MOST_BATCHES)
        seen = {report.id: (*report.counts.values(), report.spent, report.paused_reason) for report in reports}
        differ = [report for report in reports if self._told.get(report.id) != seen[report.id]]
        self._told = seen
        return news, differ
