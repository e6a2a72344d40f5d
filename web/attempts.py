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
from web.access import Access
from web.operators import Operators
from web.pages import is_text, member, number

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
        which, account = member(Which, query.get("which")), query.get("account")
        batch_id, after = number(query.get("batch")), query.get("after")
        kept = {name: query.get(name) for name in KEPT}
        start, end = _period(kept)
        batch = None
        if batch_id is not None:
            batch = await self._pages.read(cards.batch_name, batch_id) if batch_id <= LAST_INTEGER else None
            if batch is None:
                return self._pages.missing(request, "This batch does not exist.")
            place = number(after)
            found = await self._pages.read(attempts.of_batch, batch_id, which, -1 if place is None else place)
        else:
            asked = AttemptsFilter(which, account if account and is_text(account) else None, start, end)
            found = await self._pages.read(attempts.sent, asked, _reference(after))
        return self._pages.render(
            request, "attempts.html", page=found, kept=kept, which=which, every=Which, batch=batch, start=start, end=end
        )

    async def pumps(self, request: Request) -> Response:
        """All pumps."""
        return self._pages.render(request, "pumps.html", pumps=await self._pages.read(signs.every_pump))


def _period(kept: Mapping[str, str | None]) -> tuple[datetime | None, datetime | None]:
    """From when to when the attempts were sent; None where that has no end."""
    hour, day = _moment(kept["hour"], "%Y-%m-%dT%H"), _moment(kept["day"], "%Y-%m-%d")
    if hour is not None:
        return hour, hour + (_hours(kept["hours"]) or HOUR)
    if day is not None:
        return day, day + DAY
    last = _hours(kept["last"])
    return None if last is None else datetime.now(UTC) - last, None


def _moment(given: str | None, form: str) -> datetime | None:
    try:
        found = datetime.strptime(given or "", form).replace(tzinfo=UTC)
    except ValueError:
        return None
    return found if found.year < LAST_YEAR else None


def _hours(given: str | None) -> timedelta | None:
    hours = number(given)
    return hours * HOUR if hours is not None and 0 < hours <= MOST_HOURS else None


def _reference(given: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(given or "")
    except ValueError:
        return None
