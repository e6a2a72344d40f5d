"""The page of all batches: searched, filtered, sorted, and a page at a time."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.actors import Actor, ForbiddenError
from models.base import LAST_INTEGER
from reports.batches import BatchesFilter, BatchesSort, Only, described, labels, listed
from reports.queries import one_of, said, whole, words
from web.access import Access
from web.live import Live
from web.pages import Pages
from web.visitors import actor_of

LISTED = 50  # batches on one page
MOST = 10**15  # that a batch is sorted by: more money or jobs than any has


class BatchesPage:
    """The page, which guests do not see.

    Args:
        pages: makes the page, and reads the database.
        live: keeps it up to date.
    """

    def __init__(self, pages: Pages, live: Live) -> None:
        self._pages, self._live = pages, live

    def routes(self, access: Access) -> list[Route]:
        """The page."""
        return [Route("/batches", access.guarded(self._pages.surely(self._live.again(self.show))))]

    async def show(self, request: Request) -> Response:
        """Some batches.

        ``?q=`` searches names and labels, ``?label=`` and ``?only=needs_you`` filter, ``?sort=name`` sorts;
        ``?after=ID&past=VALUE`` selects the page.
        """
        actor = actor_of(request)
        asked = _asked(request, actor)
        found = await self._pages.read(_read, asked)
        sort = None if asked.sort is BatchesSort.NEWEST else asked.sort
        kept = {"q": asked.search, "label": asked.label, "only": asked.only, "sort": sort}
        sorts = [sort for sort in BatchesSort if sort is not BatchesSort.SPEND or actor.sees_money]
        return self._pages.render(request, "batches.html", **found, asked=asked, kept=kept, sorts=sorts, filters=Only)


def _read(session: Session, asked: BatchesFilter) -> dict[str, Any]:
    found = listed(session, asked, LISTED + 1)
    return {
        "batches": described(session, found[:LISTED]), "more": len(found) > LISTED, "labels": labels(session)
    }  # fmt: skip


def _asked(request: Request, actor: Actor) -> BatchesFilter:
    """What the address asks for.

    Raises:
        QueryError: a value is not allowed.
        ForbiddenError: it sorts by money for a person who may not see it.
    """
    query = request.query_params
    sort = one_of(query, "sort", BatchesSort) or BatchesSort.NEWEST
    if sort is BatchesSort.SPEND and not actor.sees_money:
        raise ForbiddenError(f"{actor.name} sees no costs, and cannot sort by them")
    search, label = words(query, "q"), words(query, "label")
    after, past = whole(query, "after", most=LAST_INTEGER), _past(sort, query)
    if past is None and sort is not BatchesSort.NEWEST:
        after = None
    only = one_of(query, "only", Only)
    return BatchesFilter(search and search.strip(), label and label.strip(), only, sort, after, past)


def _past(sort: BatchesSort, query: Mapping[str, str]) -> str | None:
    """What the batch before the page was sorted by."""
    if sort is BatchesSort.NAME:
        return words(query, "past")

    def read(given: str) -> str | None:
        try:
            amount = Decimal(given)
        except InvalidOperation:
            return None
        return given if amount.is_finite() and abs(amount) < MOST else None

    return said(query, "past", read, "an amount, as the links of the page say it")
