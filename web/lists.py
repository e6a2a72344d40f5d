"""Operators' lists: accounts, schedules, webhooks, people, and the record of who did what."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import audit, operators, people
from desk.actors import MAY
from desk.operators import AccountAction, ScheduleAction, WebhookAction
from models.base import LAST_INTEGER
from models.people import Role
from reports import planned, today
from reports.queries import whole
from web.access import Access
from web.desk_forms import chosen, refused
from web.operators import Operators, Taking, name_of
from web.pages import is_text, number
from web.visitors import Form, Handler, actor_of, first
from workers.webhooks import service as webhooks

ENTRIES = 100  # of the record on one page
MAX_REASON_CHARS = 200  # beside an account's state


class Lists:
    """The pages, and where their forms go."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Each page; all but the record have forms."""
        pages: dict[str, tuple[Handler, Taking | None]] = {
            "/accounts": (self.accounts, self.change_account),
            "/schedules": (self.schedules, self.change_schedule),
            "/webhooks": (self.webhooks, self.change_webhook),
            "/people": (self.people, self.change_person),
            "/audit": (self.audit, None),
        }
        found = []
        for path, (show, take) in pages.items():
            found.append(self._operators.shows(access, path, show))
            if take is not None:
                found.append(self._operators.takes(access, path, take))
        return found

    async def accounts(self, request: Request) -> Response:
        """Accounts with their limits, states and figures."""
        accounts = await self._operators.call(lambda: self._operators.accounts)
        rows = await self._pages.read(today.account_rows, accounts)
        return self._pages.render(
            request, "accounts.html", accounts=rows, file=self._runtime.settings.accounts_file,
            known=accounts is not None, latest=today.LATEST,
        )  # fmt: skip

    async def change_account(self, request: Request, form: Form) -> None:
        """Pause an account, resume it, or drop the limits that people changed."""
        action = chosen(form, AccountAction)
        reason = " ".join(first(form, "reason").split())
        if len(reason) > MAX_REASON_CHARS or not is_text(reason):
            raise refused("reason", reason, f"up to {MAX_REASON_CHARS} signs that can be kept; it has {len(reason):,}")
        await self._operators.call(
            operators.account, self._runtime, actor_of(request), name_of(form), action, reason or None
        )

    async def schedules(self, request: Request) -> Response:
        """Schedules, the one that runs next first."""
        return self._pages.render(request, "schedules.html", schedules=await self._pages.read(planned.planned))

    async def change_schedule(self, request: Request, form: Form) -> None:
        """Pause a schedule, resume it, or run it now."""
        action = chosen(form, ScheduleAction)
        await self._operators.call(operators.schedule, self._runtime, actor_of(request), name_of(form), action)

    async def webhooks(self, request: Request) -> Response:
        """Webhooks with how their deliveries went."""
        found = await self._pages.read(webhooks.listed, exact=False)
        return self._pages.render(request, "webhooks.html", webhooks=found, counted=webhooks.COUNTED)

    async def change_webhook(self, request: Request, form: Form) -> None:
        """Switch a webhook off or on."""
        action, one = chosen(form, WebhookAction), number(first(form, "name"))
        await self._operators.call(
            operators.webhook, self._runtime, actor_of(request), min(one or 0, LAST_INTEGER), action
        )

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
