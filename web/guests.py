"""Guest links: a page that asks for a name, once, and a cookie that opens one batch for as long as the link does."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk import guests
from desk.actors import ForbiddenError
from desk.guests import GuestError
from desk.people import TOKEN_BYTES, check_form, form_token
from web.guesses import GuessLimiter
from web.pages import Pages, is_text, link
from web.prefix import prefix
from web.shared import Shared
from web.sign_ins import DOOR, DOOR_SECONDS, STALE, WRONG_SECONDS, drop, keep
from web.visitors import Form, Handler, Scope, Visitor, first, form_of, of_batch, visitor_of

COOKIE = "recast_guest"
ANY_SECONDS = 5.0  # for which is believed that there are no links
ENDED = "This link opens nothing: it has expired, was withdrawn, or is not complete. Ask for another one."


class Guests:
    """Knows who came by a guest link, and lets guests in and out.

    Args:
        pages: makes the pages, reads and changes the database.
        guesses: where wrong links make others wait.
    """

    def __init__(self, pages: Pages, guesses: GuessLimiter) -> None:
        self._pages, self._guesses = pages, guesses
        self._any = Shared(ANY_SECONDS, partial(pages.read, guests.are_any))

    @property
    def scopes(self) -> Mapping[str, Scope]:
        """Of which batch each page is that guests may see; they see no other."""
        return {
            "/batches/{batch_id:row}": of_batch,
            "/results/{result_id:row}/{size:str}": self.of_result,
            "/inputs/{role:str}/{job_id:path}": self.of_job,
        }

    async def are_any(self) -> bool:
        """Whether any link is in force."""
        return await self._any.get()

    async def visitor(self, request: Request) -> Visitor | None:
        """The guest with the cookie of this request."""
        token = request.cookies.get(COOKIE, "")
        look = partial(self._pages.read, guests.who, token)
        actor = await self._guesses.find(request, token, look) if token else None
        return None if actor is None else Visitor(actor, token, token)

    def routes(self, everybody: Callable[[Handler], Handler]) -> list[Route]:
        """The pages of a link; `everybody` makes them open to all."""
        path = "/guest/{token:str}"
        return [
            Route(path, everybody(self._pages.surely(self.page))),
            Route(path, everybody(self._pages.surely(self.enter)), methods=["POST"]),
            Route("/leave", everybody(self._pages.surely(self.leave)), methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        """The batch, for a guest who is in; else the form for a name."""
        found = await self._opened(request)
        if found is None:
            return self._pages.missing(request, ENDED)
        if self._is_in(request, found):
            return RedirectResponse(link(prefix(request), "batches", found.batch_id), HTTPStatus.SEE_OTHER)
        return self._form(request, found)

    async def enter(self, request: Request) -> Response:
        """Let a guest in who gives a name."""
        found = await self._opened(request)
        if found is None:
            return self._pages.missing(request, ENDED)
        if self._is_in(request, found):
            return RedirectResponse(link(prefix(request), "batches", found.batch_id), HTTPStatus.SEE_OTHER)
        if visitor_of(request) is not None:  # a guest of another link, whose form was checked with theirs
            form: Form = request.state.form
        else:
            form = await form_of(request)
            try:
                check_form(request.cookies.get(DOOR, ""), first(form, "form") if DOOR in request.cookies else "")
            except ForbiddenError:
                return self._form(request, found, first(form, "name"), STALE, HTTPStatus.FORBIDDEN)
        name = first(form, "name")
        try:
            cookie = await self._pages.change(guests.enter, request.path_params["token"], name)
        except GuestError as error:
            return self._form(request, found, name, f"{error}.", HTTPStatus.UNPROCESSABLE_ENTITY)
        response = RedirectResponse(link(prefix(request), "batches", found.batch_id), HTTPStatus.SEE_OTHER)
        keep(request, response, COOKIE, cookie, max(1, round(found.seconds)))
        drop(request, response, DOOR)
        return response

    async def leave(self, request: Request) -> Response:
        """End a guest's visit; its cookie is worth nothing from now on."""
        visitor = visitor_of(request)
        if visitor is not None and visitor.token is not None and visitor.actor.guest_of is not None:
            await self._pages.change(guests.leave, visitor.token)
        response = self._pages.missing(request, "The link lets you in again.", HTTPStatus.OK, "You have left")
        drop(request, response, COOKIE)
        return response

    async def _opened(self, request: Request) -> guests.Link | None:
        """The link of the path, at this address's turn if links were guessed."""
        token: str = request.path_params["token"]
        found = await self._guesses.find(request, token, partial(self._pages.read, guests.opened, token))
        if found is None:
            await asyncio.sleep(WRONG_SECONDS)
        return found

    def _is_in(self, request: Request, found: guests.Link) -> bool:
        visitor = visitor_of(request)
        if visitor is None:
            return False
        actor = visitor.actor
        # By another link to the same batch they may have another role.
        return actor.guest_of is None or (actor.guest_of == found.batch_id and actor.role == found.role)

    def _form(
        self, request: Request, found: guests.Link, name: str = "", said: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        door, visitor = request.cookies.get(DOOR) or secrets.token_urlsafe(TOKEN_BYTES), visitor_of(request)
        response = self._pages.render(
            request, "guest.html", status, form=visitor.form if visitor else form_token(door), name=name, said=said,
            batch=found.batch, reviews=found.role == "reviewer", token=request.path_params["token"],
        )  # fmt: skip
        keep(request, response, DOOR, door, DOOR_SECONDS)
        return response

    async def of_result(self, request: Request) -> int | None:
        """The batch of the result that a path names."""
        return await self._pages.read(guests.batch_of_result, request.path_params["result_id"])

    async def of_job(self, request: Request) -> int | None:
        """The batch of the job that a path names."""
        job_id = request.path_params["job_id"]
        return await self._pages.read(guests.batch_of_job, job_id) if is_text(job_id) else None
