"""The feed of events: one reader of the database, however many listen, and what each listener is told.

While anyone listens, a thread looks every second for what has happened since, and each listener is handed what
concerns it. A listener that names the last event that it was told is told first what it has missed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

import structlog
from sqlalchemy.orm import Session

from desk.actors import Actor
from models.availability import is_unavailable
from recast.money import Money
from reports.batch import BatchReport, changed, find
from reports.events import Event, Place, events, settled
from reports.reviews import progress
from reports.written import written
from web.api.endpoints import Service, seen_by
from web.api.problems import ProblemError

LOOK_SECONDS = 1.0  # between two looks of the one reader: quick for a person, and two short queries
ALIVE_SECONDS = 15.0  # after which a listener that is told nothing gets a comment: proxies end what is silent for 60 s
LONGEST_SECONDS = 600.0  # of one answer: a revoked token hears nothing after that; clients ask again by themselves
MOST_LISTENERS = 200  # of a process: each is a connection
MOST_UNREAD = 2_000  # events that wait for a listener; one that is slower is ended, and asks for the rest
AT_ONCE = 1_000  # events that are read at a time
MOST_MISSED = 20_000  # events that a listener is told afterwards; lists say more, and sooner
RECOUNTED_SECONDS = 10.0  # for which a batch that the sweep has counted is looked at: longer than between two looks
MOST_BATCHES = 500  # whose numbers are compared at each look
RETRY = b"retry: 2000\n\n"  # milliseconds before a client asks again

log = structlog.get_logger()


@dataclass(eq=False)
class _Listener:
    actor: Actor
    batch: str | None
    unread: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(MOST_UNREAD))

    def tell(self, event: str, batch: str | None, data: Mapping[str, Any], micros: int | None = None) -> None:
        if self.batch is not None and batch != self.batch:
            return
        try:
            self.unread.put_nowait(_frame(self.actor, event, data, micros))
        except asyncio.QueueFull:
            self.end()

    def end(self) -> None:
        """Have it end, whatever is unread."""
        while not self.unread.empty():
            self.unread.get_nowait()
        self.unread.put_nowait(None)


class Feed:
    """The events of a deployment, for everybody who listens to this process."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="recast-events")
        self._listeners: set[_Listener] = set()
        self._reader: asyncio.Task[None] | None = None
        self._place = Place.at(0)
        self._told: dict[int, tuple[Any, ...]] = {}
        self._closed = False

    def close(self) -> None:
        """End every answer; call on the event loop."""
        self._closed = True
        for listener in self._listeners:
            listener.end()
        if self._reader is not None:
            self._reader.cancel()

    def shut(self) -> None:
        """Give the thread back, once nobody is answered any more."""
        self._thread.shutdown(cancel_futures=True)

    async def listen(
        self, actor: Actor, batch: str | None, after: int | None, seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """What to tell a listener, for so many seconds at most; begins before anything is answered.

        Raises:
            ProblemError: too many listen.
            UnknownBatchError: there is no such batch.
        """
        if len(self._listeners) >= MOST_LISTENERS or self._closed:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_LISTENERS} programs listen already; ask again later",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        first = [] if batch is None else [_numbers(await self._read(find, batch), self._service.currency)]
        listener = _Listener(actor, batch)
        # Before it is read what was missed, so that nothing happens in between.
        self._listeners.add(listener)
        try:
            if self._reader is None or self._reader.done():
                self._place = Place.at(await self._read(settled))
                self._reader = asyncio.create_task(self._look())
            until = self._place
        except BaseException:
            self._listeners.discard(listener)
            raise
        return self._told_to(listener, first, None if after is None else Place.at(after), until, seconds)

    async def _told_to(
        self, listener: _Listener, first: list[dict[str, Any]], missed: Place | None, until: Place, seconds: float
    ) -> AsyncGenerator[bytes, None]:
        end = asyncio.get_running_loop().time() + seconds
        try:
            yield RETRY
            for data in first:
                yield _frame(listener.actor, "batch", data)
            if missed is not None:
                async for each in self._missed(listener, missed, until):
                    yield each
            while (left := end - asyncio.get_running_loop().time()) > 0:
                try:
                    frame = await asyncio.wait_for(listener.unread.get(), min(left, ALIVE_SECONDS))
                except TimeoutError:
                    yield b": alive\n\n"
                    continue
                if frame is None:
                    return
                yield frame
        finally:
            self._listeners.discard(listener)

    async def _missed(self, listener: _Listener, place: Place, until: Place) -> AsyncGenerator[bytes, None]:
        """What happened before the reader's place: at least once, as what it reads now may be told again."""
        told, all_told = 0, False
        end = max(until.jobs[0], until.verdicts[0]) + 1
        while not all_told and told < MOST_MISSED and not self._closed:
            found, place, all_told = await self._read(events, place, end, AT_ONCE)
            told += len(found)
            for event in found:
                if listener.batch in (None, event.batch):
                    yield _frame(listener.actor, event.kind, event.data, event.micros)
        if not all_told:
            yield _frame(listener.actor, "gap", {"detail": "more has happened than is told afterwards; read the lists"})

    async def _look(self) -> None:
        """Tell all listeners what happens, for as long as there are any."""
        while self._listeners and not self._closed:
            try:
                found, batches = await self._read(self._news)
            except Exception as error:
                if not is_unavailable(error):
                    for listener in self._listeners:
                        listener.end()
                    raise
                log.info("events_wait_for_database")
                found, batches = [], []
            for listener in tuple(self._listeners):
                for event in found:
                    listener.tell(event.kind, event.batch, event.data, event.micros)
                for report in batches:
                    listener.tell("batch", report.name, _numbers(report, self._service.currency))
            await asyncio.sleep(LOOK_SECONDS)

    def _news(self, session: Session) -> tuple[list[Event], list[BatchReport]]:
        until = settled(session)
        news: list[Event] = []
        for _ in range(MOST_UNREAD // AT_ONCE):
            found, self._place, all_read = events(session, self._place, until, AT_ONCE)
            news += found
            if all_read:
                break
        reports = changed(session, RECOUNTED_SECONDS, MOST_BATCHES)
        seen = {report.id: (*report.counts.values(), report.spent, report.paused_reason) for report in reports}
        differ = [report for report in reports if self._told.get(report.id) != seen[report.id]]
        self._told = seen
        return news, differ

    async def _read(self, work: Any, *given: Any) -> Any:
        """`work(session, ...)` in the one thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, lambda: self._service.runtime.db(work, *given))


def _numbers(report: BatchReport, currency: str) -> dict[str, Any]:
    return {
        "batch": report.name, "states": dict(report.counts), **asdict(progress(report.counts)),
        "settled": report.settled, "paused": report.paused_reason, "spent": Money(report.spent, currency),
    }  # fmt: skip


def _frame(actor: Actor, event: str, data: Mapping[str, Any], micros: int | None = None) -> bytes:
    """One event as server-sent events are written; JSON has no line breaks of its own."""
    named = "" if micros is None else f"id: {micros}\n"
    return f"{named}event: {event}\ndata: {written(seen_by(actor, data))}\n\n".encode()
