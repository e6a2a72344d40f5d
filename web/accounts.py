"""Operators' page of accounts: their states, limits and figures, and what is done about them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from desk import operators
from desk.actors import Actor
from desk.operators import AccountAction
from desk.verdicts import DeskError
from reports import today
from web.access import Access
from web.desk_forms import chosen, refused
from web.operators import Operators, name_of
from web.pages import is_text
from web.visitors import Form, actor_of, first
from workers.accounts import overrides
from workers.accounts.overrides import NOTHING
from workers.config.accounts import Account
from workers.config.units import PER_PICTURE, per_minute
from workers.operations import credential_checks

MAX_REASON_CHARS = 200  # beside an account's state
MAX_LIMIT_CHARS = 40  # of a limit as it is typed: an amount, a rate or a time

_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?")

CHECK, SET = "check", "set"
#: Limits in words, by setting and part.
LIMITS: Mapping[str, str] = {
    "max_in_flight": "In flight, at most",
    "rate": "Submissions, at most",
    "poll_every": "Time between two polls",
    "deadline": "Time for a result",
    "prices": "Price of {}",
    "budget": "Budget of a {}",
}


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit that people can set."""

    #: As `recast accounts set` calls it, such as ``budget.day``.
    name: str
    says: str
    #: What holds now, as it would be typed.
    now: str


class AccountsPage:
    """The page, and where its forms go."""

    def __init__(self, operators: Operators) -> None:
        self._operators, self._pages, self._runtime = operators, operators.pages, operators.runtime

    def routes(self, access: Access) -> list[Route]:
        """Both of them."""
        return [
            self._operators.shows(access, "/accounts", self.show),
            self._operators.takes(access, "/accounts", self.take),
        ]

    async def show(self, request: Request) -> Response:
        """Accounts with their limits, states and figures."""
        accounts = await self._operators.call(lambda: self._operators.accounts)
        rows = await self._pages.read(today.account_rows, accounts)
        return self._pages.render(
            request, "accounts.html", accounts=rows, file=self._runtime.settings.accounts_file,
            known=accounts is not None, latest=today.LATEST, currency=self._pages.currency,
            checks=await self._pages.read(credential_checks.latest),
            limits={row.limits.name: list(limits(row.limits)) for row in rows},
        )  # fmt: skip

    async def take(self, request: Request, form: Form) -> None:
        """Pause an account, resume it, check its credentials, set its limits, or drop those that people set."""
        actor, name, action = actor_of(request), name_of(form), chosen(form, (*AccountAction, CHECK, SET))
        if action == CHECK:
            await self._operators.call(operators.check_credentials, self._runtime, actor, name)
            await self._operators.soon(partial(credential_checks.is_answered, account=name))
        elif action == SET:
            await self._operators.call(self._set, actor, name, form)
        else:
            given = AccountAction(action)
            await self._operators.call(operators.account, self._runtime, actor, name, given, _reason(form))

    def _set(self, actor: Actor, name: str, form: Form) -> None:
        """Set the limits whose fields are filled in."""
        words = []
        for limit in limits(self._in_force(name)):
            value = first(form, limit.name).strip()
            if len(value) > MAX_LIMIT_CHARS or not is_text(value):
                raise refused(limit.name, value, f"up to {MAX_LIMIT_CHARS} signs that can be kept")
            if _NUMBER.fullmatch(value):
                value = self._with_unit(limit, value)
            if value:
                words.append(f"{limit.name}={value}")
        if not words:
            raise DeskError("limits: all fields are empty; allowed: a value in one of them at least")
        operators.set_limits(self._runtime, actor, name, words)

    def _in_force(self, name: str) -> Account:
        """An account with the limits that hold now."""
        return self._runtime.db(overrides.in_force, {name: self._runtime.account(name)})[name]

    def _with_unit(self, limit: Limit, value: str) -> str:
        """An amount without a unit, with the unit of the amount that holds now.

        Raises:
            DeskError: no price holds now.
        """
        setting, currency = limit.name.partition(".")[0], self._pages.currency
        if setting not in overrides.PARTED:
            return value
        if limit.now == NOTHING and setting == "prices":
            allowed = f"{value} {currency} for a call, {value} {currency}{PER_PICTURE} for a picture"
            raise refused(limit.name, value, allowed)
        return f"{value} {limit.now.partition(' ')[2] or currency}"


def limits(account: Account) -> Iterator[Limit]:
    """What people can set of an account, and what holds now."""
    parts = {"prices": [name.partition(".")[2] for name in account.operations], "budget": ["day", "month"]}
    for name, says in LIMITS.items():
        value = getattr(account, name)
        if name in parts:
            for part in parts[name]:
                yield Limit(f"{name}.{part}", says.format(part), str(value.get(part, NOTHING)))
        elif name == "rate":
            yield Limit(name, says, NOTHING if value is None else per_minute(value))
        else:
            yield Limit(name, says, _typed(value) if isinstance(value, float) else str(value))


def _typed(seconds: float) -> str:
    """A time as people type it."""
    return f"{seconds:g}s" if seconds % 60 else f"{seconds / 60:g}min"


def _reason(form: Form) -> str | None:
    """Why an account is paused.

    Raises:
        DeskError: it is too long.
    """
    reason = " ".join(first(form, "reason").split())
    if len(reason) > MAX_REASON_CHARS or not is_text(reason):
        raise refused("reason", reason, f"up to {MAX_REASON_CHARS} signs that can be kept; it has {len(reason):,}")
    return reason or None
