"""The page of single jobs: those that producers sent one by one, by day, newest first."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from models.batches import SINGLES
from models.states import JobState
from models.verdicts import Verdict
from reports import singles
from reports.grid_filter import GridFilter
from web.access import Access
from web.pages import Pages, is_text, link, member, number
from web.prefix import prefix
from web.visitors import actor_of

#: What the page filters by.
KEPT = ("state", "verdict", "account", "operation")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: before a job, or at the end of a day."""

    before: int | None
    day: date | None


class SinglesList:
    """The page, which guests do not see."""

    def __init__(self, pages: Pages) -> None:
        self._pages = pages

    def routes(self, access: Access) -> list[Route]:
        """The page, and the way to it from where a batch's page would be."""
        return [
            Route("/singles", access.guarded(self._pages.surely(self.show))),
            Route(f"/batches/{SINGLES}", access.guarded(self.lead)),
        ]

    async def lead(self, request: Request) -> Response:
        """Redirect to the page: links of the review page are those of a batch."""
        asked = {name: request.query_params.get(name) for name in ("state", "verdict")}
        return RedirectResponse(link(prefix(request), "singles", **asked))

    async def show(self, request: Request) -> Response:
        """Some single jobs.

        ``?state=failed`` or ``?verdict=approved`` filters, ``?account=main`` and ``?operation=zhiqite.swap`` for those
        who see costs; ``?day=2026-11-30`` begins at the end of that day (UTC), ``?before=SEQ`` selects the page.
        """
        query, sees = request.query_params, actor_of(request).sees_money
        state, verdict = member(JobState, query.get("state")), member(Verdict, query.get("verdict"))
        account, operation = (_word(query.get(name)) if sees else None for name in ("account", "operation"))
        shown = GridFilter(state=state, verdict=verdict, account=account, operation=operation)
        place = _Place(number(query.get("before")), _day(query.get("day")))
        found = await self._pages.read(_read, shown, place)
        kept = {name: getattr(shown, name) for name in KEPT}
        return self._pages.render(request, "singles.html", page=found, kept=kept, place=place, batch=SINGLES)


def _read(session: Session, shown: GridFilter, place: _Place) -> dict[str, Any]:
    before = place.before
    if before is None and place.day is not None:
        end = datetime.combine(place.day, datetime.min.time(), UTC) + timedelta(days=1)
        before = singles.place_before(session, end)
    found = singles.page(session, shown, before)
    days: dict[date, list[Any]] = {}
    for job in found.jobs:
        days.setdefault(job.created_at.astimezone(UTC).date(), []).append(job)
    return {"days": days, "before": found.before}


def _day(given: str | None) -> date | None:
    """A day; None where it is not one that has a next day."""
    try:
        day = date.fromisoformat(given or "")
    except ValueError:
        return None
    return day if day < date.max else None


def _word(given: str | None) -> str | None:
    return given or None if given is not None and is_text(given) else None
