"""Operators' lists: schedules, people, and the record of who did what."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import audit, operators, people
from desk.actors import MAY
from desk.operators import ScheduleAction
from models.people import Role
from reports import planned
from reports.queries import whole
from web.access import Access
from web.desk_forms import chosen
from web.operators import Operators, Taking, name_of
from web.visitors import Form, Handler, actor_of, first

ENTRIES = 100  # of the record on one page


class Lists:
    """The pages, and where their forms go."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Each page; all but the record have forms."""
        pages: dict[str, tuple[Handler, Taking | None]] = {
            "/schedules": (self.schedules, self.change_schedule),
            "/people": (self.people, self.change_person),
            "/audit": (self.audit, None),
        }
        found = []
        for path, (show, take) in pages.items():
            found.append(self._operators.shows(access, path, show))
            if take is not None:
                found.append(self._operators.takes(access, path, take))
        return found

    async def schedules(self, request: Request) -> Response:
        """Schedules, the one that runs next first."""
        return self._pages.render(request, "schedules.html", schedules=await self._pages.read(planned.planned))

    async def change_schedule(self, request: Request, form: Form) -> None:
        """Pause a schedule, resume it, or run it now."""
        action = chosen(form, ScheduleAction)
        await self._operators.call(operators.schedule, self._runtime, actor_of(request), name_of(form), action)

    async def people(self, request: Request) -> Response:
        """People with their roles, and a form for one more."""
        found = await self._pages.read(people.everybody)
        return self._pages.render(request, "people.html", people=found, roles=MAY)

    async def change_person(self, request: Request, form: Form) -> None:
        """Add a person, keep one out or let one in, or give one another role or password."""
        actor, name, kind = actor_of(request), name_of(form), first(form, "do")
        password = first(form, "password")
        role = chosen(form, Role, "role") if kind in {"add", "role"} else Role.VIEWER
        changes: dict[str, Callable[[], object]] = {
            "add": lambda: self._runtime.db(people.add, actor, name, role, password),
            "role": lambda: self._runtime.db(people.set_role, actor, name, role),
            "password": lambda: self._runtime.db(people.set_password, actor, name, password),
            "disable": lambda: self._runtime.db(people.disable, actor, name),
            "enable": lambda: self._runtime.db(people.disable, actor, name, disabled=False),
        }
        await self._operators.call(changes[chosen(form, changes)])

    async def audit(self, request: Request) -> Response:
        """Who did what, newest first; ``?before=`` selects older entries."""
        entries, before = await self._pages.read(audit.page, ENTRIES, whole(request.query_params, "before"))
        return self._pages.render(request, "audit.html", entries=entries, before=before)
