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
from reports import singles
from reports.grid_filter import GridFilter, Sort
from reports.queries import day, one_of, whole
from web.access import Access
from web.grid import shown_by
from web.pages import Pages, link
from web.prefix import prefix
from web.selections import Selections


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a page begins: before a job, or at the end of a day."""

    before: int | None
    day: date | None


class SinglesList:
    """The page, which guests do not see.

    Args:
        pages: makes the page, and reads the database.
        selections: what the page offers to do with many pictures.
    """

    def __init__(self, pages: Pages, selections: Selections) -> None:
        self._pages, self._selections = pages, selections

    def routes(self, access: Access) -> list[Route]:
        """The page, and the way to it from where a batch's page would be."""
        return [
            Route("/singles", access.guarded(self._pages.surely(self.show))),
            Route(f"/batches/{SINGLES}", access.guarded(self._pages.surely(self.lead))),
        ]

    async def lead(self, request: Request) -> Response:
        """Redirect to the page: links of the review page are those of a batch."""
        return RedirectResponse(link(prefix(request), "singles", **listed_by(request).query))

    async def show(self, request: Request) -> Response:
        """Some single jobs.

        `reports.grid_filter` names the parameters that filter them, as in the grid of a batch; ``?day=2026-11-30``
        begins at the end of that day (UTC), ``?before=SEQ`` selects the page.
        """
        query, shown = request.query_params, listed_by(request)
        place = _Place(whole(query, "before"), day(query, "day"))

        def read(session: Session) -> tuple[dict[str, Any] | None, dict[str, Any]]:
            return self._selections.offered(session, request, SINGLES), _read(session, shown, place)

        picks, found = await self._pages.read(read)
        return self._pages.render(
            request, "singles.html", page=found, kept=shown.query, place=place, batch=SINGLES, picks=picks
        )


def listed_by(request: Request) -> GridFilter:
    """The filter of an address; the list has one order.

    Raises:
        QueryError: a value is not allowed.
        ForbiddenError: it asks by accounts for a person who may not see them.
    """
    one_of(request.query_params, "sort", [Sort.CATALOG])
    return shown_by(request)


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
