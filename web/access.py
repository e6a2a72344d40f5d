"""Access to the pages: people who are signed in, or HTTP Basic with RECAST_WEB_AUTH; and security headers."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping
from http import HTTPStatus

from pydantic import SecretStr
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from desk.actors import Actor, ForbiddenError
from desk.people import check_form
from models.people import Role
from web.guesses import GuessLimiter
from web.guests import Guests
from web.pages import link
from web.prefix import prefix
from web.proxied import Proxied
from web.sign_ins import SignIns
from web.visitors import Handler, Scope, Visitor, first, form_of, status_of

WRONG_SECONDS = 0.3  # before a wrong password is rejected: slow for guessing, unnoticed after a typing error
COOKIE = "recast_pass"  # of browsers that have had the right password; it opens nothing
COOKIE_SECONDS = 30 * 24 * 3600  # a month, so that people rarely wait for a turn

#: Nothing from other origins, and no inline scripts or styles: text that escapes its place can do nothing.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; base-uri 'none';"
        " form-action 'self'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Access:
    """Accepts requests of people who are signed in, and those with the deployment's user and password.

    Args:
        auth: ``user:password``, if there is one; who knows it may do everything.
        guesses: where wrong passwords make others wait.
        sign_ins: knows who is signed in; None where nobody can be.
        guests: knows who came in by a guest link.
        proxied: knows whom a trusted proxy has signed in.
    """

    def __init__(
        self,
        auth: SecretStr | None,
        guesses: GuessLimiter | None = None,
        sign_ins: SignIns | None = None,
        guests: Guests | None = None,
        proxied: Proxied | None = None,
    ) -> None:
        self._expected = None if auth is None else auth.get_secret_value().encode()
        self._guesses = guesses or GuessLimiter()
        self._sign_ins, self._guests, self._proxied = sign_ins, guests, proxied
        # Of clients that have had the right password: they still need it, and wait for no turn.
        self._key = hashlib.sha256(b"pass:" + (self._expected or b"")).digest()
        self._pass = hmac.digest(self._key, b"recast", "sha256").hex()
        self._form_secret = hmac.digest(self._key, b"form", "sha256").hex()

    def guarded(self, handler: Handler, *, everybody: bool = False, guests: Scope | None = None) -> Handler:
        """`handler` for visitors; responses carry `HEADERS` and are not cached unless `handler` says so.

        A form reaches `handler` as `request.state.form`, and only if it came from a page of the visitor's own. With
        `everybody`, nobody needs to be signed in where people can. Guests get nothing but what `guests` says to be
        of their batch.
        """

        async def respond(request: Request) -> Response:
            response = await self._response(request, handler, guests, everybody=everybody)
            for name, value in HEADERS.items():
                response.headers[name] = value
            response.headers.setdefault("Cache-Control", "no-store")
            return response

        return respond

    async def _response(self, request: Request, handler: Handler, guests: Scope | None, *, everybody: bool) -> Response:
        try:
            visitor = await self._visitor(request)
            if visitor is None and not (everybody and await self._is_open(request)):
                return await self._refusal(request)
            if visitor is not None and not everybody and not await _is_for(visitor.actor, request, guests):
                return PlainTextResponse("Not Found", HTTPStatus.NOT_FOUND)
        except ForbiddenError as error:
            return PlainTextResponse(f"{error}\n", HTTPStatus.FORBIDDEN)
        except SQLAlchemyError:
            return PlainTextResponse("the database does not answer; try again in a moment\n", 503)
        request.state.visitor = visitor
        if visitor is not None and request.method == "POST":
            try:
                request.state.form = await form_of(request)
                check_form(visitor.secret, first(request.state.form, "form"))
            except ForbiddenError as error:
                return PlainTextResponse(f"{error}\n", status_of(error))
        response = await handler(request)
        if visitor is not None and visitor.by_password and not self._has_pass(request):
            secure = request.url.scheme == "https"
            response.set_cookie(
                COOKIE, self._pass, max_age=COOKIE_SECONDS, httponly=True, samesite="strict", secure=secure
            )
        return response

    async def _visitor(self, request: Request) -> Visitor | None:
        if self._proxied is not None and (visitor := await self._proxied.visitor(request)) is not None:
            return visitor
        header = request.headers.get("authorization", "")
        if header and self._expected is not None:
            if not await self._may_enter(request, header):
                return None
            user = self._expected.partition(b":")[0].decode()
            return Visitor(Actor(user, Role.OPERATOR), self._form_secret, by_password=True)
        for known in (self._sign_ins, self._guests):
            if known is not None and (visitor := await known.visitor(request)) is not None:
                return visitor
        return None

    async def _refusal(self, request: Request) -> Response:
        enters = await self._has_people() or (self._expected is None and self._is_here(request))
        if enters and "authorization" not in request.headers:
            if request.method != "GET" or "text/html" not in request.headers.get("accept", "text/html"):
                return PlainTextResponse("sign in first\n", HTTPStatus.UNAUTHORIZED)
            asked = request.url.path.removeprefix(prefix(request))
            query = f"?{request.url.query}" if request.url.query else ""
            where = link(prefix(request), "sign-in", next=f"{asked}{query}" if asked not in {"", "/"} else None)
            return RedirectResponse(where, HTTPStatus.SEE_OTHER)
        if self._expected is None:
            return PlainTextResponse("Not Found", HTTPStatus.NOT_FOUND)
        return PlainTextResponse(
            "log in with the user and password of RECAST_WEB_AUTH\n",
            401,
            {"WWW-Authenticate": 'Basic realm="Recast", charset="UTF-8"'},
        )

    async def _is_open(self, request: Request) -> bool:
        """Whether there is anybody for whom a page without a visitor is."""
        if self._is_here(request) or await self._has_people():
            return True
        return self._guests is not None and await self._guests.are_any()

    def _is_here(self, request: Request) -> bool:
        return self._sign_ins is not None and self._sign_ins.are_open(request)

    async def _has_people(self) -> bool:
        return self._sign_ins is not None and await self._sign_ins.are_any(known=self._expected is not None)

    async def _may_enter(self, request: Request, header: str) -> bool:
        async def look() -> bool | None:
            return self._knows(header) or None

        if await (look() if self._has_pass(request) else self._guesses.find(request, header, look)):
            return True
        await asyncio.sleep(WRONG_SECONDS)
        return False

    def _has_pass(self, request: Request) -> bool:
        return hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), self._pass.encode())

    def _knows(self, header: str) -> bool:
        scheme, _, value = header.partition(" ")
        if scheme.lower() != "basic" or self._expected is None:
            return False
        try:
            given = base64.b64decode(value.strip(), validate=True)
        except (binascii.Error, ValueError):
            return False
        return hmac.compare_digest(given, self._expected)


async def _is_for(actor: Actor, request: Request, guests: Scope | None) -> bool:
    """Whether a page is for this visitor: everything is for people, and for guests what is of their batch."""
    return actor.guest_of is None or (guests is not None and await guests(request) == actor.guest_of)
