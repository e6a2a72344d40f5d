"""What the operators' pages have in common: who sees them, the deployment behind them, and their forms.

Every number on them is read when the page is asked for. What a form changes is changed by the functions that the
commands use; what these refuse is said on a page.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from http import HTTPStatus
from typing import ParamSpec, TypeVar

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from catalog.errors import CatalogError
from desk.guests import GuestError
from desk.passwords import PasswordError
from desk.people import PersonError
from desk.releases import ReleaseError
from desk.tokens import TokenError
from desk.verdicts import DeskError
from models.people import Role
from recast.errors import InvalidJobError
from web.access import Access
from web.desk_forms import refused
from web.pages import Pages, is_text, link
from web.prefix import prefix
from web.visitors import Form, Handler, actor_of, first
from workers.config.account_values import AccountsError
from workers.config.accounts import Account
from workers.engine.runtime import Runtime
from workers.schedules.cron import ScheduleError
from workers.webhooks.service import UnknownWebhookError

P = ParamSpec("P")
T = TypeVar("T")

WAIT_SECONDS = 6.0  # that a page waits for what it asked a worker for; most providers and webhooks answer in two
LOOK_SECONDS = 0.2  # between two looks for it

#: What the services refuse, in sentences that name the field, the value and what is allowed.
REFUSED = (
    AccountsError, CatalogError, DeskError, GuestError, InvalidJobError, PasswordError, PersonError, ReleaseError,
    ScheduleError, TokenError, UnknownWebhookError,
)  # fmt: skip

#: Takes a form; the answer is a page, or None: the page that the form came from then shows what it did.
Taking = Callable[[Request, Form], Awaitable[Response | None]]


class Operators:
    """Makes routes that only operators may use.

    Args:
        pages: makes the pages.
        runtime: the deployment, as the commands have it.
    """

    def __init__(self, pages: Pages, runtime: Runtime) -> None:
        self.pages, self.runtime = pages, runtime

    @property
    def accounts(self) -> Mapping[str, Account] | None:
        """Those of the accounts file; None where it cannot be read."""
        try:
            return self.runtime.accounts
        except AccountsError:
            return None

    async def call(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`work`, which uses the deployment, in a thread."""
        return await run_in_threadpool(work, *args, **kwargs)

    async def soon(self, is_there: Callable[[Session], bool]) -> None:
        """Wait for what a worker does, though not for long: it may also come while the page is shown."""
        ends = time.monotonic() + WAIT_SECONDS
        while not await self.pages.read(is_there):
            if time.monotonic() > ends:
                return
            await asyncio.sleep(LOOK_SECONDS)

    def shows(self, access: Access, path: str, show: Handler) -> Route:
        """A page."""

        async def answer(request: Request) -> Response:
            actor_of(request).need(Role.OPERATOR, "see this page")
            try:
                return await show(request)
            except REFUSED as error:
                return self.pages.missing(request, str(error), HTTPStatus.UNPROCESSABLE_ENTITY, "Not possible")

        return Route(path, access.guarded(self.pages.surely(answer)))

    def takes(self, access: Access, path: str, take: Taking) -> Route:
        """Where the forms of a page go."""

        async def answer(request: Request) -> Response:
            actor_of(request).need(Role.OPERATOR, "change this")
            try:
                done = await take(request, request.state.form)
            except REFUSED as error:
                return self.pages.missing(request, str(error), HTTPStatus.UNPROCESSABLE_ENTITY, "Not possible")
            return done or RedirectResponse(_same(request), HTTPStatus.SEE_OTHER)

        return Route(path, access.guarded(self.pages.surely(answer)), methods=["POST"])


def _same(request: Request) -> str:
    """The page that the form belongs to."""
    below = prefix(request)
    return link(below, *request.url.path.removeprefix(below).strip("/").split("/"))


def agreement(ids: Iterable[object], cost: Decimal) -> str:
    """What a person agrees to: something done to these very rows, for so much money."""
    return hashlib.sha256("\n".join([str(cost), *sorted(map(str, ids))]).encode()).hexdigest()


def name_of(form: Form) -> str:
    """What a form changes.

    Raises:
        DeskError: it names nothing.
    """
    name = first(form, "name")
    if not name or not is_text(name):
        raise refused("name", name, "signs that can be kept")
    return name
