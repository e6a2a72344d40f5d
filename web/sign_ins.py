"""Signing in and out: a page for name and password, and a cookie that is worth nothing without its row."""

from __future__ import annotations

import asyncio
import secrets
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from desk import people
from desk.actors import ForbiddenError
from desk.people import SIGN_IN_SECONDS, TOKEN_BYTES, check_form, form_token
from models.transactions import Database
from web.guesses import Lane
from web.pages import Pages, link
from web.prefix import prefix
from web.shared import Shared
from web.visitors import Visitor, first, form_of, visitor_of

COOKIE = "recast_session"
DOOR = "recast_door"  # of a browser that has seen the form, and is not signed in
DOOR_SECONDS = 3600  # for which a form that was loaded can be sent
WRONG_SECONDS = 0.3  # before a wrong password is rejected: slow for guessing, unnoticed after a typing error
WRONG = "The name or the password is wrong, or the person is disabled."
STALE = "This page was not the latest one for signing in. Type the password again."
COMPARING = 2  # threads that compare passwords: each one keeps the 19 MiB that it needs, and all threads would keep 300
ANY_SECONDS = 5.0  # for which is believed that there are no people: then the first one is noticed


class SignIns:
    """Knows who is signed in, and lets people sign in and out.

    Args:
        database: has the people.
        pages: makes the page.
        lane: where wrong passwords make others wait.
    """

    def __init__(self, database: Database, pages: Pages, lane: Lane) -> None:
        self._database, self._pages, self._lane = database, pages, lane
        self._any = Shared(ANY_SECONDS, partial(pages.read, people.are_any))
        self._comparing = ThreadPoolExecutor(COMPARING, "passwords")

    async def are_any(self, *, known: bool) -> bool:
        """Whether there are people who could sign in.

        With `known`, a database that does not answer has none: another way in remains.
        """
        try:
            return await self._any.get()
        except SQLAlchemyError:
            if known:
                return False
            raise

    async def visitor(self, request: Request) -> Visitor | None:
        """Who is signed in with the cookie of this request."""
        token = request.cookies.get(COOKIE, "")
        if not token:
            return None
        actor = await self._lane.find(request, token, partial(self._pages.read, people.who, token))
        return None if actor is None else Visitor(actor, token, token)

    async def page(self, request: Request) -> Response:
        """The form for name and password."""
        if _is_in(request):
            return RedirectResponse(f"{prefix(request)}{_within(request.query_params.get('next', ''))}", 303)
        return self._form(request, _within(request.query_params.get("next", "")))

    async def enter(self, request: Request) -> Response:
        """Sign a person in, at this address's turn if passwords were guessed."""
        if _is_in(request):
            return RedirectResponse(f"{prefix(request)}/", 303)
        try:
            form = await form_of(request)
        except ForbiddenError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.FORBIDDEN)
        name, password, where = first(form, "name"), first(form, "password"), _within(first(form, "next"))
        try:
            check_form(request.cookies.get(DOOR, ""), first(form, "form") if DOOR in request.cookies else "")
        except ForbiddenError:
            # Of several windows that show the form, the last one has the cookie.
            return self._form(request, where, name, STALE, HTTPStatus.FORBIDDEN)
        async with self._lane.trial(request):
            token = await asyncio.get_running_loop().run_in_executor(
                self._comparing, people.sign_in, self._database, name, password
            )
        if token is None:
            self._lane.was_wrong()
            await asyncio.sleep(WRONG_SECONDS)
            return self._form(request, where, name, WRONG, HTTPStatus.UNPROCESSABLE_ENTITY)
        response = RedirectResponse(f"{prefix(request)}{where}", 303)
        keep(request, response, COOKIE, token, round(SIGN_IN_SECONDS))
        drop(request, response, DOOR)
        return response

    async def leave(self, request: Request) -> Response:
        """Sign a person out: the cookie that they had is worth nothing from now on."""
        visitor = visitor_of(request)
        if visitor is not None and visitor.token is not None:
            await self._pages.change(people.sign_out, visitor.token)
        response = RedirectResponse(link(prefix(request), "sign-in"), 303)
        drop(request, response, COOKIE)
        return response

    def _form(
        self, request: Request, where: str, name: str = "", said: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        door = request.cookies.get(DOOR) or secrets.token_urlsafe(TOKEN_BYTES)
        response = self._pages.render(
            request, "sign_in.html", status, form=form_token(door), where=where, name=name, said=said
        )
        keep(request, response, DOOR, door, DOOR_SECONDS)
        return response


def keep(request: Request, response: Response, name: str, value: str, seconds: int) -> None:
    """Have the browser keep a cookie of ours, which no script reads."""
    response.set_cookie(
        name, value, max_age=seconds, path=_path(request), httponly=True, samesite="lax", secure=_is_secure(request)
    )


def drop(request: Request, response: Response, name: str) -> None:
    """Have the browser forget a cookie of ours."""
    response.delete_cookie(name, path=_path(request))


def _is_in(request: Request) -> bool:
    """Whether a person is signed in; a guest may become one."""
    visitor = visitor_of(request)
    return visitor is not None and visitor.actor.guest_of is None


def _path(request: Request) -> str:
    return prefix(request) or "/"


def _is_secure(request: Request) -> bool:
    """Whether the browser came by https, here or to a proxy; a lie harms only a cookie of its own."""
    said = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip()
    return "https" in {request.url.scheme, said}


def _within(path: str) -> str:
    """`path` if it leads to a page of ours, else the first page: ``//host`` would be another site."""
    fits = path.startswith("/") and not path.startswith(("//", "/\\", "/sign-")) and path.isprintable()
    return path if fits and "\\" not in path else "/"
