"""Operators' pages of releases: all of which something is written, and one with what was made under it."""

from __future__ import annotations

from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk import releases
from desk.actors import Actor
from reports import released
from reports.queries import said, words
from reports.released import ReleasedPlace
from web.access import Access
from web.desk_forms import chosen, refused
from web.operators import Operators, name_of
from web.pages import is_text, link
from web.prefix import prefix
from web.visitors import Form, actor_of, first
from workers.jobs.request import KINDS, MAX_CONSENT


class ReleasesPages:
    """The pages, and where their forms go."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Both pages have one path: a reference can be any text."""
        return [
            self._operators.shows(access, "/releases", self.show),
            self._operators.takes(access, "/releases", self.take),
        ]

    async def show(self, request: Request) -> Response:
        """All releases, or the one of ``?reference=``; ``?before=`` selects the page of its jobs."""
        query = request.query_params
        reference = (words(query, "reference", most=MAX_CONSENT) or "").strip()
        if not reference:
            found = await self._pages.read(releases.everything)
            return self._pages.render(request, "releases.html", releases=found, most=MAX_CONSENT)
        before = said(query, "before", ReleasedPlace.of, "a place, as the links of the page say it")
        return self._pages.render(
            request, "release.html", reference=reference, release=await self._pages.read(releases.find, reference),
            page=await self._pages.read(released.page, reference, before), before=before, kinds=KINDS,
        )  # fmt: skip

    async def take(self, request: Request, form: Form) -> Response:
        """Write down what a release allows, or end it."""
        actor, reference = actor_of(request), name_of(form)
        if chosen(form, ("set", "end")) == "set":
            await self._operators.call(self._put, actor, reference, form)
        else:
            await self._operators.call(self._runtime.db, releases.end, actor, reference)
        where = link(prefix(request), "releases", reference=reference.strip())
        return RedirectResponse(where, HTTPStatus.SEE_OTHER)

    def _put(self, actor: Actor, reference: str, form: Form) -> None:
        until, kind = first(form, "until").strip(), first(form, "kind")
        labels = first(form, "labels").splitlines()
        if not is_text("".join(labels)):
            raise refused("labels", "".join(labels), "signs that can be kept")
        self._runtime.db(
            lambda session: releases.put(
                session, actor, reference, ends_at=releases.end_of(until) if until else None,
                kinds=[kind] if kind else [], labels=[label.strip() for label in labels if label.strip()],
            )
        )  # fmt: skip
