"""Operators' pages of the rows behind numbers: attempts, by when and where they were sent, and pumps."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from models.base import LAST_INTEGER
from reports import attempts, cards, signs
from reports.attempts import AttemptsFilter, Which
from reports.queries import one_of, said, whole, words
from web.access import Access
from web.operators import Operators

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MOST_HOURS = 9_000  # of one period: a year
LAST_YEAR = 9_998  # of a period's begin: its end is a time, too
#: What a page shows, and its links show again.
KEPT = ("which", "account", "hour", "hours", "day", "last", "batch")


class AttemptsPages:
    """The pages."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages = operators, operators.pages

    def routes(self, access: Access) -> list[Route]:
        """Both of them."""
        shows = self._operators.shows
        return [shows(access, "/attempts", self.attempts), shows(access, "/pumps", self.pumps)]

    async def attempts(self, request: Request) -> Response:
        """Some attempts, newest first; or those of ``?batch=ID``, in its order.

        ``?which=paid``, ``failed`` or ``in_flight`` and ``?account=main`` filter; ``?hour=2026-11-30T14`` (UTC, and
        ``&hours=24`` for several), ``?day=2026-11-30`` or ``?last=1``, in hours, say when they were sent. ``?after=``
        selects the page.
        """
        query = request.query_params
        which, account = one_of(query, "which", Which), words(query, "account")
        batch_id, kept = whole(query, "batch"), {name: query.get(name) for name in KEPT}
        start, end = _period(query)
        batch = None
        if batch_id is not None:
            batch = await self._pages.read(cards.batch_name, batch_id) if batch_id <= LAST_INTEGER else None
            if batch is None:
                return self._pages.missing(request, "This batch does not exist.")
            place = whole(query, "after")
            found = await self._pages.read(attempts.of_batch, batch_id, which, -1 if place is None else place)
        else:
            after = said(query, "after", uuid.UUID, "the number of an attempt")
            found = await self._pages.read(attempts.sent, AttemptsFilter(which, account, start, end), after)
        return self._pages.render(
            request, "attempts.html", page=found, kept=kept, which=which, every=Which, batch=batch, start=start, end=end
        )

    async def pumps(self, request: Request) -> Response:
        """All pumps."""
        return self._pages.render(request, "pumps.html", pumps=await self._pages.read(signs.every_pump))


def _period(query: Mapping[str, str]) -> tuple[datetime | None, datetime | None]:
    """From when to when the attempts were sent; None where that has no end.

    Raises:
        QueryError: a time is none.
    """
    hour, day = (_moment(query, *each) for each in (("hour", "%Y-%m-%dT%H"), ("day", "%Y-%m-%d")))
    hours, last = (whole(query, name, least=1, most=MOST_HOURS) for name in ("hours", "last"))
    if hour is not None:
        return hour, hour + (hours or 1) * HOUR
    if day is not None:
        return day, day + DAY
    return None if last is None else datetime.now(UTC) - last * HOUR, None


def _moment(query: Mapping[str, str], name: str, form: str) -> datetime | None:
    def read(given: str) -> datetime | None:
        found = datetime.strptime(given, form).replace(tzinfo=UTC)
        return found if found.year < LAST_YEAR else None

    return said(query, name, read, f"a time such as {datetime(2026, 11, 30, 14, tzinfo=UTC):{form}}")
