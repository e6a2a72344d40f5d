"""Signing in and out: a page for name and password, and a cookie that is worth nothing without its row.

At this machine, a link signs in without a password (`web.here`).
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import TypeVar

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from desk import people
from desk.actors import ForbiddenError
from desk.people import SIGN_IN_SECONDS, TOKEN_BYTES, check_form, form_token
from models.transactions import Database
from web.guesses import GuessLimiter
from web.here import Here
from web.pages import Pages, link
from web.prefix import prefix
from web.shared import Shared
from web.visitors import Visitor, first, form_of, status_of, visitor_of

T = TypeVar("T")

COOKIE = "recast_session"
DOOR = "recast_door"  # of a browser that has seen the form, and is not signed in
DOOR_SECONDS = 3600  # for which a form that was loaded can be sent
WRONG_SECONDS = 0.3  # before a wrong password is rejected: slow for guessing, unnoticed after a typing error
WRONG = "The name or the password is wrong, or the person is disabled."
USED = "The link was used before, has expired, or was made for another address."
STALE = "This page was not the latest one for signing in. Type the password again."
COMPARING = 2  # threads that compare passwords: each one keeps the 19 MiB that it needs, and all threads would keep 300
ANY_SECONDS = 5.0  # for which is believed that there are no people: then the first one is noticed


class SignIns:
    """Knows who is signed in, and lets people sign in and out.

    Args:
        database: has the people.
        pages: makes the page.
        guesses: where wrong passwords make others wait.
        here: knows who was signed in by a link at this machine.
    """

    def __init__(self, database: Database, pages: Pages, guesses: GuessLimiter, here: Here) -> None:
        self._database, self._pages, self._guesses, self._here = database, pages, guesses, here
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

    def are_open(self, request: Request) -> bool:
        """Whether a link could sign in who asks, whatever people there are."""
        return self._here.is_here(request)

    async def visitor(self, request: Request) -> Visitor | None:
        """Who is signed in with the cookie of this request."""
        token = request.cookies.get(COOKIE, "")
        if not token:
            return None
        if (here := self._here.who(token)) is not None:
            return Visitor(here, token, token)
        actor = await self._guesses.find(request, token, partial(self._pages.read, people.who, token))
        return None if actor is None else Visitor(actor, token, token)

    async def page(self, request: Request) -> Response:
        """The form for name and password, which also sends on what a link has behind its `#`."""
        where = _within(request.query_params.get("next", ""))
        if _is_in(request):
            # Otherwise browsers would put what the link has behind its `#` there, too.
            return RedirectResponse(f"{prefix(request)}{where}#", 303)
        return await self._form(request, where)

    async def enter(self, request: Request) -> Response:
        """Sign a person in, by a link's key, or by a password at this address's turn if some were guessed."""
        if _is_in(request):
            return RedirectResponse(f"{prefix(request)}/", 303)
        try:
            form = await form_of(request)
        except ForbiddenError as error:
            return PlainTextResponse(f"{error}\n", status_of(error))
        name, where = first(form, "name"), _within(first(form, "next"))
        try:
            check_form(request.cookies.get(DOOR, ""), first(form, "form") if DOOR in request.cookies else "")
        except ForbiddenError:
            # Of several windows that show the form, the last one has the cookie.
            return await self._form(request, where, name, STALE, HTTPStatus.FORBIDDEN)
        if key := first(form, "key"):
            token = await self._entered_here(request, key)
            said = USED
        else:
            token = await self._entered(request, name, first(form, "password"))
            said = WRONG
        if token is None:
            return await self._form(request, where, name, said, HTTPStatus.UNPROCESSABLE_ENTITY)
        response = RedirectResponse(f"{prefix(request)}{where}", 303)
        keep(request, response, COOKIE, token, round(SIGN_IN_SECONDS))
        drop(request, response, DOOR)
        return response

    async def _entered(self, request: Request, name: str, password: str) -> str | None:
        return await self.compared(request, partial(people.sign_in, self._database), name, password)

    async def compared(self, request: Request, work: Callable[[str, str], T], given: str, other: str) -> T:
        """`work(given, other)`, which compares passwords, at this address's turn if some were guessed.

        What is None or False was a wrong one.
        """
        async with self._guesses.trial(request):
            found = await asyncio.get_running_loop().run_in_executor(self._comparing, work, given, other)
        if not found:
            self._guesses.was_wrong()
            await asyncio.sleep(WRONG_SECONDS)
        return found

    async def _entered_here(self, request: Request, key: str) -> str | None:
        actor = self._here.take(request, key)
        if actor is None:
            return None
        await self._pages.change(people.entered, actor, by="link")
        return self._here.sign_in(actor)

    async def leave(self, request: Request) -> Response:
        """Sign a person out: the cookie that they had is worth nothing from now on."""
        visitor = visitor_of(request)
        if visitor is not None and visitor.token is not None:
            self._here.sign_out(visitor.token)
            await self._pages.change(people.sign_out, visitor.token)
        response = RedirectResponse(link(prefix(request), "sign-in"), 303)
        drop(request, response, COOKIE)
        return response

    async def _form(
        self, request: Request, where: str, name: str = "", said: str = "", status: int = HTTPStatus.OK
    ) -> Response:
        door = request.cookies.get(DOOR) or secrets.token_urlsafe(TOKEN_BYTES)
        response = self._pages.render(
            request, "sign_in.html", status, form=form_token(door), where=where, name=name, said=said,
            here=self._here.is_here(request), people=await self.are_any(known=True),
        )  # fmt: skip
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
