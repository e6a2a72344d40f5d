"""Operators' page of the tokens of programs: a new one is shown once, on the page that answers its form."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import tokens
from desk.actors import MAY, Actor
from desk.limits import limit_of
from models.people import Role
from web.access import Access
from web.desk_forms import chosen
from web.operators import Operators, name_of
from web.visitors import Form, actor_of, first


class TokensPage:
    """The page, and where its forms go."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Both of them."""
        return [
            self._operators.shows(access, "/tokens", self.show),
            self._operators.takes(access, "/tokens", self.take),
        ]

    async def show(self, request: Request) -> Response:
        """All tokens, without their secrets, and a form for one more."""
        return await self._shown(request)

    async def take(self, request: Request, form: Form) -> Response | None:
        """Add a token, which the answer shows, or revoke one."""
        actor, name = actor_of(request), name_of(form)
        if chosen(form, ("add", "revoke")) == "add":
            made = await self._operators.call(self._add, actor, name, form)
            return await self._shown(request, name, made)
        await self._operators.call(self._runtime.db, tokens.revoke, actor, name)
        return None

    async def _shown(self, request: Request, name: str = "", made: str | None = None) -> Response:
        found = await self._pages.read(tokens.everything)
        return self._pages.render(
            request, "tokens.html", tokens=found, roles=MAY, name=name, made=made, currency=self._pages.currency
        )

    def _add(self, actor: Actor, name: str, form: Form) -> str:
        role, limit = chosen(form, Role, "role"), first(form, "spend_per_day").strip()
        most = limit_of(limit, self._pages.currency, "spend_per_day").amount if limit else None
        return self._runtime.db(tokens.add, actor, name, role, most)
