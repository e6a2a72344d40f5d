"""The feed of events for programs: what each listener is told of the news, and what it has missed.

A listener that names the last event that it was told is told first what has happened since.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any

from desk.actors import Actor
from recast.money import Money
from reports.batch import BatchReport, find
from reports.events import Event, EventPlace, events
from reports.reviews import progress
from reports.written import written
from web.api.endpoints import seen_by
from web.api.problems import ProblemError
from web.news import AT_ONCE, News
from web.streams import ALIVE_SECONDS, RETRY

MOST_LISTENERS = 200  # of a process: each is a connection
MOST_UNREAD = 2_000  # events that wait for a listener; one that is slower is ended, and asks for the rest
MOST_MISSED = 20_000  # events that a listener is told afterwards; lists say more, and sooner


@dataclass(eq=False)
class _Listener:
    actor: Actor
    batch: str | None
    currency: str
    unread: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(MOST_UNREAD))

    def hear(self, happened: Sequence[Event], batches: Sequence[BatchReport]) -> None:
        """Note what is to be told."""
        for event in happened:
            self._tell(event.kind, event.batch, event.data, event.micros)
        for report in batches:
            self._tell("batch", report.name, _numbers(report, self.currency))

    def _tell(self, event: str, batch: str | None, data: Mapping[str, Any], micros: int | None = None) -> None:
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
    """What programs are told.

    Args:
        news: what happens.
        currency: the deployment's currency.
    """

    def __init__(self, news: News, currency: str) -> None:
        self._news, self._currency = news, currency
        self._listening: dict[AsyncGenerator[bytes, None], _Listener] = {}

    async def listen(
        self, actor: Actor, batch: str | None, after: int | None, seconds: float
    ) -> AsyncGenerator[bytes, None]:
        """What to tell a listener, for so many seconds at most; begins before anything is answered.

        Raises:
            ProblemError: too many listen.
            UnknownBatchError: there is no such batch.
        """
        if len(self._listening) >= MOST_LISTENERS or self._news.closed:
            raise ProblemError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_LISTENERS} programs listen already; ask again later",
                headers={"Retry-After": "5"},
            )  # fmt: skip
        first = [] if batch is None else [_numbers(await self._news.read(find, batch), self._currency)]
        listener = _Listener(actor, batch, self._currency)
        # Before it is read what was missed, so that nothing happens in between.
        until = await self._news.join(listener)
        told = self._told_to(listener, first, None if after is None else EventPlace.at(after), until, seconds)
        self._listening[told] = listener
        return told

    def leave(self, told: AsyncGenerator[bytes, None]) -> None:
        """Forget a listener that is told nothing more."""
        listener = self._listening.pop(told, None)
        if listener is not None:
            self._news.leave(listener)

    async def _told_to(
        self,
        listener: _Listener,
        first: list[dict[str, Any]],
        missed: EventPlace | None,
        until: EventPlace,
        seconds: float,
    ) -> AsyncGenerator[bytes, None]:
        end = asyncio.get_running_loop().time() + seconds
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

    async def _missed(self, listener: _Listener, place: EventPlace, until: EventPlace) -> AsyncGenerator[bytes, None]:
        """What happened before the reader's place: at least once, as what it reads now may be told again."""
        told, all_told = 0, False
        end = max(until.jobs[0], until.verdicts[0]) + 1
        while not all_told and told < MOST_MISSED and not self._news.closed:
            found, place, all_told = await self._news.read(events, place, end, AT_ONCE)
            told += len(found)
            for event in found:
                if listener.batch in (None, event.batch):
                    yield _frame(listener.actor, event.kind, event.data, event.micros)
        if not all_told:
            yield _frame(listener.actor, "gap", {"detail": "more has happened than is told afterwards; read the lists"})


def _numbers(report: BatchReport, currency: str) -> dict[str, Any]:
    return {
        "batch": report.name, "states": dict(report.counts), **asdict(progress(report.counts)),
        "settled": report.settled, "paused": report.paused_reason, "spent": Money(report.spent, currency),
    }  # fmt: skip


def _frame(actor: Actor, event: str, data: Mapping[str, Any], micros: int | None = None) -> bytes:
    """One event as server-sent events are written; JSON has no line breaks of its own."""
    named = "" if micros is None else f"id: {micros}\n"
    return f"{named}event: {event}\ndata: {written(seen_by(actor, data))}\n\n".encode()
