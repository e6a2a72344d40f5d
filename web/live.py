"""Pages that stay up to date: a stream that says what kind of thing has changed, and the page again, made once for all.

A stream has no content of a page: who hears that something has changed asks for the page, with the same rights as ever.
Those who look at the same page in the same role are answered the same, at most a second old. When all places are taken,
a visitor with few streams gets one of those of the visitor who has the most.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from reports.batch import BatchReport
from reports.cards import batch_name
from reports.events import Event
from web import streams
from web.access import Access
from web.news import News
from web.pages import Pages
from web.shared import Shared
from web.streams import ALIVE_SECONDS, RETRY, EventStream
from web.visitors import Handler, Visitor, actor_of, of_batch, visitor_of
from workers.cache import Cache

#: The header with which a script asks for a page that it shows already.
AGAIN = "x-recast-again"
#: Cookies that say how a page looks.
LOOKS = ("recast_density",)
FRESH_SECONDS = 1.0  # for which one answer serves all who look at the same page
PAGES_KEPT = 256  # pages that are looked at at the same time, of some 50 KB each
MOST_STREAMS = 200  # of a process: each is a connection
MOST_JOBS = 100  # that a stream names at a time; a page shows fewer
ALIVE = b"event: alive\ndata: {}\n\n"


@dataclass(eq=False)
class _Watch:
    """One page that is looked at; what has changed since it was told last is kept as words, so nothing grows."""

    visitor: str
    batch: str | None
    topics: set[str] = field(default_factory=set)
    jobs: set[str] = field(default_factory=set)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def hear(self, happened: Sequence[Event], batches: Sequence[BatchReport]) -> None:
        """Note what concerns the page: `numbers`, `jobs` that have ended, `verdicts`."""
        concerned = [event for event in happened if self.batch in (None, event.batch)]
        self.topics.update({"job": "jobs", "verdict": "verdicts"}[event.kind] for event in concerned)
        if self.batch is not None:
            self.jobs.update(str(event.data["job"]) for event in concerned[:MOST_JOBS])
        if any(self.batch in (None, report.name) for report in batches):
            self.topics.add("numbers")
        if self.topics:
            self.changed.set()

    def end(self) -> None:
        """Have it end."""
        self.ended = True
        self.changed.set()

    def told(self) -> bytes:
        """What has changed, as an event; it is forgotten."""
        data = {"topics": sorted(self.topics), "jobs": sorted(self.jobs)[:MOST_JOBS]}
        self.topics.clear()
        self.jobs.clear()
        self.changed.clear()
        return f"event: changed\ndata: {json.dumps(data)}\n\n".encode()


class Live:
    """Streams of changes, and pages that are asked for again.

    Args:
        pages: reads the database.
        news: what happens.
    """

    def __init__(self, pages: Pages, news: News) -> None:
        self._pages, self._news = pages, news
        self._watches: dict[AsyncGenerator[bytes, None], _Watch] = {}
        self._made: Cache[object, Shared[Response]] = Cache(PAGES_KEPT)

    def routes(self, access: Access) -> list[Route]:
        """A stream of everything, and one of a batch, for its guests too."""
        return [
            Route("/live", access.guarded(self._pages.surely(self.stream))),
            Route("/batches/{batch_id:row}/live", access.guarded(self._pages.surely(self.stream), guests=of_batch)),
        ]

    async def stream(self, request: Request) -> Response:
        """What changes, until the page is left; refused where others have fewer streams and there is no room."""
        name, batch_id = None, request.path_params.get("batch_id")
        if batch_id is not None:
            name = await self._pages.read(batch_name, batch_id)
            if name is None:
                return self._pages.missing(request, "This batch does not exist.")
        visitor = visitor_of(request)
        assert visitor is not None
        watch = _Watch(visitor.actor.seat, name)
        if self._news.closed or not self._has_room(watch.visitor):
            said = f"{MOST_STREAMS} pages are kept up to date already; this one asks by itself\n"
            return PlainTextResponse(said, HTTPStatus.SERVICE_UNAVAILABLE, {"Retry-After": "60"})
        told = _told(watch)
        self._watches[told] = watch
        try:
            await self._news.join(watch)
        except BaseException:
            self._leave(told)
            raise
        return EventStream(told, partial(self._leave, told))

    def again(self, handler: Handler) -> Handler:
        """`handler` of a page, which is made once for all in the same role who ask for it again.

        It is made for nobody by name: a script takes those parts of it that show the batch, and no form, and leaves out
        what only others than its visitor should read (`data-person`).
        """

        async def answer(request: Request) -> Response:
            if AGAIN not in request.headers:
                return await handler(request)
            actor = actor_of(request)
            looks = tuple(request.cookies.get(name) for name in LOOKS)
            key = (request.url.path, request.url.query, actor.role, actor.guest_of, looks)
            nobody = Visitor(replace(actor, name=""), "")
            asked = Request({**request.scope, "state": {**request.scope.get("state", {}), "visitor": nobody}})
            shared = self._made.get_or_make(key, lambda: Shared(FRESH_SECONDS, partial(handler, asked)))
            made = await shared.get()
            return Response(made.body, made.status_code, media_type=made.media_type)

        return answer

    def _leave(self, told: AsyncGenerator[bytes, None]) -> None:
        watch = self._watches.pop(told, None)
        if watch is not None:
            self._news.leave(watch)

    def _has_room(self, visitor: str) -> bool:
        if len(self._watches) < MOST_STREAMS:
            return True
        having = Counter(watch.visitor for watch in self._watches.values())
        ((most, number),) = having.most_common(1)
        if having[visitor] + 1 >= number:
            return False
        oldest = next(told for told, watch in self._watches.items() if watch.visitor == most)
        self._watches[oldest].end()
        self._leave(oldest)
        return True


async def _told(watch: _Watch) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    end = loop.time() + streams.LONGEST_SECONDS
    yield RETRY
    yield ALIVE
    while not watch.ended and (left := end - loop.time()) > 0:
        try:
            await asyncio.wait_for(watch.changed.wait(), min(left, ALIVE_SECONDS))
        except TimeoutError:
            yield ALIVE
            continue
        if watch.topics and not watch.ended:
            yield watch.told()
