"""Operators' pages of guest links: those of one batch, with a form for one more, and those of all batches."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import guests
from desk.actors import Actor
from desk.guests import Added
from models.base import LAST_INTEGER
from models.people import GUEST_ROLES
from reports.cards import batch_name
from web.access import Access
from web.desk_forms import chosen, refused
from web.operators import Operators
from web.pages import number
from web.prefix import prefix
from web.visitors import Form, actor_of, first

DAY_SECONDS = 24 * 3600.0  # seconds of a day, in which the form counts
MOST_DAYS = int(guests.LONGEST_SECONDS / DAY_SECONDS)  # that a link may last
DAYS = 7  # that the form offers, as the command does
GONE = "This batch does not exist."


class GuestLinksPages:
    """The pages, and where their forms go; `Guests` is what the links open."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Both pages; links are added on that of their batch."""
        shows, takes = self._operators.shows, self._operators.takes
        one, every = "/batches/{batch_id:row}/guests", "/guests"
        return [
            shows(access, one, self.of_batch), takes(access, one, self.change_of_batch),
            shows(access, every, self.everything), takes(access, every, self.revoke),
        ]  # fmt: skip

    async def everything(self, request: Request) -> Response:
        """All links, newest first."""
        return self._pages.render(
            request, "guests.html", links=await self._pages.read(guests.everything), batch=None, batch_id=None
        )

    async def of_batch(self, request: Request) -> Response:
        """The links to one batch."""
        batch = await self._pages.read(batch_name, request.path_params["batch_id"])
        return self._pages.missing(request, GONE) if batch is None else await self._shown(request, batch)

    async def change_of_batch(self, request: Request, form: Form) -> Response | None:
        """Add a link to this batch, which the answer shows, or revoke one."""
        if first(form, "do") != "add":
            await self.revoke(request, form)
            return None
        batch = await self._pages.read(batch_name, request.path_params["batch_id"])
        if batch is None:
            return self._pages.missing(request, GONE)
        added = await self._operators.call(self._add, actor_of(request), batch, form)
        return await self._shown(request, batch, added)

    async def revoke(self, request: Request, form: Form) -> None:
        """Revoke a link."""
        one = number(first(form, "name"))
        if first(form, "do") != "revoke" or one is None:
            said = " ".join(filter(None, (first(form, "do"), first(form, "name"))))
            raise refused("do", said, "revoke, with the number of a link; add, on the page of a batch")
        await self._operators.call(self._runtime.db, guests.revoke, actor_of(request), min(one, LAST_INTEGER))

    async def _shown(self, request: Request, batch: str, added: Added | None = None) -> Response:
        return self._pages.render(
            request, "guests.html", links=await self._pages.read(guests.everything, batch), batch=batch,
            batch_id=request.path_params["batch_id"], added=added, roles=GUEST_ROLES, days=DAYS, most=MOST_DAYS,
            made=None if added is None else f"{self._base(request)}/guest/{added.token}",
        )  # fmt: skip

    def _base(self, request: Request) -> str:
        """Where guests find these pages: as the settings say, else where the operator has found them."""
        here = f"{request.url.scheme}://{request.url.netloc}{prefix(request)}"
        return (self._runtime.settings.public_url or here).rstrip("/")

    def _add(self, actor: Actor, batch: str, form: Form) -> Added:
        role, days = chosen(form, GUEST_ROLES, "role"), number(first(form, "days"))
        if days is None or not 0 < days <= MOST_DAYS:
            raise refused("days", first(form, "days"), f"1 to {MOST_DAYS}")
        return self._runtime.db(guests.add, actor, batch, role, days * DAY_SECONDS)
