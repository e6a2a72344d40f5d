"""The page of all batches: searched, filtered, sorted, and a page at a time."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk.actors import Actor
from models.base import LAST_INTEGER
from reports.batches import BatchesFilter, BatchesSort, Only, described, labels, listed
from web.access import Access
from web.live import Live
from web.pages import Pages, is_text, member, number
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
    """What the address asks for; what it cannot ask for is left out."""
    query = request.query_params
    sort = member(BatchesSort, query.get("sort")) or BatchesSort.NEWEST
    if sort is BatchesSort.SPEND and not actor.sees_money:
        sort = BatchesSort.NEWEST
    search, label = (_text(query.get(name)) for name in ("q", "label"))
    after, past = number(query.get("after")), _past(sort, query.get("past"))
    if after is not None and (after > LAST_INTEGER or (past is None and sort is not BatchesSort.NEWEST)):
        after = None
    return BatchesFilter(search, label, member(Only, query.get("only")), sort, after, past)


def _text(given: str | None) -> str | None:
    return given.strip() or None if given is not None and is_text(given) else None


def _past(sort: BatchesSort, given: str | None) -> str | None:
    """What the batch before the page was sorted by; None for what it cannot have been."""
    if given is None or not is_text(given):
        return None
    if sort is BatchesSort.NAME:
        return given
    try:
        amount = Decimal(given)
    except InvalidOperation:
        return None
    return given if amount.is_finite() and abs(amount) < MOST else None
