"""The operators' first page: money by hour, the four numbers, what needs a person, accounts, workers, next runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from models.people import Role
from reports import held, signs, today
from reports.batch import BatchReport
from reports.needs import Need, Seen, needs
from reports.planned import Planned, planned
from reports.reviews import Progress, progress
from web.access import Access
from web.live import Live
from web.operators import Operators
from web.pages import link
from web.prefix import prefix
from web.shared import Shared
from web.stops import Stops
from web.visitors import actor_of
from workers.cache import Cache
from workers.engine.looks import own_hosts
from workers.http.client import HttpClient, build_client
from workers.http.ssrf import ForbiddenAddressError, Guard
from workers.images.download import DownloadError, look

FRESH_SECONDS = 3.0  # for which one answer serves all operators: pages ask again every four
PAST_SECONDS = 3600.0  # for which an hour that is over is kept: only a refusal that comes late changes it
COUNTING_SECONDS = 0.3  # for hours of one page; what is not counted then comes with the next one, seconds later
OWN_WEB_SECONDS = 15.0  # between two looks at our own web
LISTED = 8  # open batches, and next runs, of the first page


@dataclass(frozen=True, slots=True)
class Today:
    """Everything of the page, at one moment."""

    hours: Sequence[today.Hour]
    open: today.Open
    needs: Sequence[Need]
    accounts: Sequence[today.AccountRow]
    heartbeats: Sequence[signs.Sign]
    pumps: signs.Pumps
    planned: Sequence[Planned]

    @property
    def spent(self) -> Decimal:
        """What was spent in these hours."""
        return sum((hour.cost for hour in self.hours if hour.cost), Decimal(0))

    @property
    def dearest(self) -> today.Hour | None:
        """The hour in which the most was spent; None where nothing was."""
        return max((hour for hour in self.hours if hour.cost), key=lambda hour: hour.cost or 0, default=None)

    @property
    def most(self) -> Decimal:
        """What was spent in it."""
        return self.dearest.cost or Decimal(0) if self.dearest else Decimal(0)

    @property
    def counted(self) -> bool:
        """Whether all hours are counted."""
        return all(hour.cost is not None for hour in self.hours)


class TodayPage:
    """The first page of operators."""

    def __init__(self, operators: Operators, live: Live) -> None:
        self._operators, self._live = operators, live
        self._pages, self._runtime = operators.pages, operators.runtime
        self._fresh = Shared(FRESH_SECONDS, self._found)
        self._past: Cache[datetime, Decimal] = Cache(2 * today.HOURS, PAST_SECONDS)
        self._stops = Stops(operators.pages.currency)
        self._own_web = Shared(OWN_WEB_SECONDS, self._look)

    def routes(self, access: Access) -> list[Route]:
        """The page, and the way to it."""
        return [
            Route("/", access.guarded(self._pages.surely(self.home))),
            self._operators.shows(access, "/today", self._live.again(self.show)),
        ]

    async def home(self, request: Request) -> Response:
        """Redirect to the page that a person begins with."""
        first = "today" if actor_of(request).may(Role.OPERATOR) else "batches"
        return RedirectResponse(link(prefix(request), first))

    async def show(self, request: Request) -> Response:
        """What an operator must see in five seconds."""
        found = await self._fresh.get()
        return self._pages.render(
            request, "today.html", today=found, numbers=_numbers(found), listed=LISTED, latest=today.LATEST
        )

    async def _found(self) -> Today:
        return await self._operators.call(self._read, await self._own_web.get())

    def _read(self, own_web: str | None) -> Today:
        accounts = self._operators.accounts
        with self._runtime.sessions() as session:
            hours = self._hours(session)
            batches = today.open_batches(session)
            rows = today.account_rows(session, accounts)
            runs = planned(session)
            pumps, beats = signs.pumps(session), signs.heartbeats(self._runtime.settings.home)
            seen = Seen(
                accounts, [row.status for row in rows], batches.batches, runs, beats, pumps,
                held.stake(session, accounts or {}), own_web, self._runtime.settings.accounts_file,
                self._pages.currency,
            )  # fmt: skip
            found = needs(session, seen, lambda report: self._stops.of(session, report, accounts))
        return Today(hours, batches, found, rows, beats, pumps, runs)

    def _hours(self, session: Session) -> list[today.Hour]:
        """The hours of the chart, the newest counted first: a deployment may make 40,000 attempts in each."""
        *past, present = today.hours(session)
        found = {present: today.spent_in(session, present)}
        ends = time.monotonic() + COUNTING_SECONDS
        for hour in reversed(past):
            known = self._past.get(hour)
            if known is None and time.monotonic() < ends:
                known = self._past.put(hour, today.spent_in(session, hour))
            if known is not None:
                found[hour] = known
        return [today.Hour(hour, found.get(hour)) for hour in (*past, present)]

    async def _look(self) -> str | None:
        """Why our own web cannot be reached from here; None if it can, or is not tried."""
        settings = self._runtime.settings
        if settings.links_tried_at is None:
            return None
        client: HttpClient = build_client(Guard(own_hosts(settings)), max_connections=1)
        try:
            await look(client, f"{settings.links_tried_at}/healthz")
        except (DownloadError, ForbiddenAddressError) as error:
            return str(error)
        finally:
            await client.aclose()
        return None


def _numbers(found: Today) -> Sequence[tuple[BatchReport, Progress]]:
    """The open batches that are listed, each with its four numbers."""
    return [(batch, progress(batch.counts)) for batch in found.open.batches[:LISTED]]
