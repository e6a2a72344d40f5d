"""The page of redos: for one picture, for those that are ticked, or for all of a filter; the price comes first.

A form says which jobs are meant and what is asked for otherwise. What it would do and cost is shown first; what a
person agrees to is that very plan. If it would be another one by now, the new one is shown, and nothing is done.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from http import HTTPStatus

from sqlalchemy.orm import Session
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from desk.actors import Actor
from desk.redo import redo_all, spent_today
from desk.redo_plan import MOST_REDONE, Change, Plan, Terms, option_text, option_value, plan, redoable, require_few
from desk.verdicts import DeskError
from models.people import Role
from providers.describing import OptionInWords, describe
from recast.errors import InvalidJobError
from recast.hints import typed
from web.access import Access
from web.meant import Meant, given, meant
from web.pages import Pages, link, number
from web.prefix import prefix
from web.redo import Redos
from web.visitors import Form, actor_of, first
from workers.config.accounts import Account
from workers.jobs.filters import some_ids

OPTION = "option."  # begins the names of fields for options
SEED = "seed"  # the option that has a word of its own in the command
MAX_VALUE_CHARS = 2_000  # of an option, as of a note


@dataclass(frozen=True, slots=True)
class PlannedRedo:
    """A redo as it would be now."""

    meant: Meant
    change: Change
    plan: Plan
    terms: Terms
    #: What the person may still spend on redos today; None for who has no limit.
    left: Decimal | None

    @property
    def agreed(self) -> str:
        """What a person agrees to: these versions of these jobs, this change, this price."""
        jobs = [(job.job_id, job.version, job.lane) for job in self.plan.jobs]
        said = json.dumps(
            [jobs, asdict(self.change), str(self.plan.at_most), self.plan.unpriced], sort_keys=True, default=str
        )
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def too_dear(self) -> bool:
        """Whether it may cost more than the person may spend today."""
        return self.left is not None and (bool(self.plan.unpriced) or self.plan.at_most > self.left)


class RedoPage:
    """Where redos are asked for.

    Args:
        pages: makes the pages, reads and changes the database.
        redos: knows the terms of the deployment.
    """

    def __init__(self, pages: Pages, redos: Redos) -> None:
        self._pages, self._redos = pages, redos

    def routes(self, access: Access) -> list[Route]:
        """The page, and where its form goes; none of it is for guests."""
        guarded = access.guarded(self._pages.surely(self.answer))
        return [Route("/batches/{batch_id:row}/redo", guarded, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> Response:
        """What would be done; or, with ``do=redo`` and the plan that was agreed to, do it."""
        actor, form = actor_of(request), given(request)
        actor.need(Role.REVIEWER, "redo pictures")
        begins = request.method == "POST" and first(form, "do") == "redo"
        done = number(request.query_params.get("done"))
        try:
            found = await self._pages.read(meant, request.path_params["batch_id"], form)
            if found is None:
                return self._pages.missing(request, "This batch does not exist.")
            if done is not None:
                return self._pages.render(request, "changed.html", meant=found, title="Redo", done=done, left=None)
            asked = await self._pages.read(self._asked, actor, found, form)
            moved = begins and first(form, "agreed") != asked.agreed
            if not begins or moved:
                return self._shown(request, asked, form, moved=moved)
            # That plan is what was agreed to, so that no other limit has to be named.
            done = await self._pages.change(redo_all, actor, asked.plan, asked.change, asked.terms)
        except (DeskError, InvalidJobError) as error:
            return self._pages.missing(request, f"{error}.", HTTPStatus.UNPROCESSABLE_ENTITY, "Not possible")
        where = link(prefix(request), "batches", found.batch_id, "redo", **found.grid.query, job=found.job, done=done)
        return RedirectResponse(where, HTTPStatus.SEE_OTHER)

    def _asked(self, session: Session, actor: Actor, found: Meant, form: Form) -> PlannedRedo:
        """What a redo would do now.

        Raises:
            DeskError: the accounts cannot be read, or a value is not usable.
            InvalidJobError: too many jobs fit, or their state cannot be redone.
        """
        terms = self._redos.require_terms()
        ids = some_ids(session, redoable(found.which), MOST_REDONE + 1)
        require_few(len(ids))
        change = change_of(form)
        made, left = plan(session, ids, change, terms), None
        if not actor.may(Role.OPERATOR):
            left = max(Decimal(0), terms.reviewer_cap - spent_today(session, actor.name))
        return PlannedRedo(found, change, made, terms, left)

    def _shown(self, request: Request, asked: PlannedRedo, form: Form, *, moved: bool) -> Response:
        accounts = asked.terms.accounts
        most = {(line.account, line.operation): line for line in asked.plan.most}
        return self._pages.render(
            request, "redo.html", asked=asked, plan=asked.plan, meant=asked.meant, moved=moved,
            lines=[(line, most[line.account, line.operation]) for line in asked.plan.lines],
            accounts=accounts, operations=sorted(_operations(accounts)),
            options=options_of(asked), values={name: first(form, OPTION + name) for name in _named(form)},
            usual=form.get("usual", ()), change=asked.change, command=_command(asked),
        )  # fmt: skip


def change_of(form: Form) -> Change:
    """What a form asks for otherwise: a field that is empty leaves what was; ``usual`` takes an option away.

    Raises:
        DeskError: a value is too long, or the seed is not a whole number.
    """
    said = {name: first(form, OPTION + name).strip() for name in _named(form)}
    for name, value in said.items():
        if len(value) > MAX_VALUE_CHARS:
            raise DeskError(f"{name}: it has {len(value):,} characters; allowed: up to {MAX_VALUE_CHARS:,}")
    options = {name: option_value(value) for name, value in said.items() if value}
    options |= dict.fromkeys(form.get("usual", ()))
    seed = options.pop(SEED, None) if options.get(SEED) is not None else None
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise DeskError(f"seed: {seed!r} is not possible; allowed: a whole number")
    return Change(seed, options, first(form, "to") or None, first(form, "to_operation") or None)


def options_of(asked: PlannedRedo) -> Sequence[OptionInWords]:
    """The options that can be said: of the operation that is asked for, or else of those that the plan has.

    What was said and fits none of them is there as well, so that it can be taken back.
    """
    names = {line.operation for line in asked.plan.lines}
    if asked.change.operation is not None:
        names = {asked.change.operation}
    known = _operations(asked.terms.accounts)
    found = {option.name: option for name in sorted(names & known.keys()) for option in known[name]}
    for name in asked.change.options:
        found.setdefault(name, OptionInWords(name, "not an option here", None, required=False))
    return list(found.values())


def _operations(accounts: Mapping[str, Account]) -> dict[str, tuple[OptionInWords, ...]]:
    return {
        name: describe(operation).options
        for account in accounts.values()
        for name, operation in account.operations.items()
    }


def _named(form: Form) -> list[str]:
    return [name.removeprefix(OPTION) for name in form if name.startswith(OPTION)]


def _command(asked: PlannedRedo) -> str | None:
    """The command that does the same, where there is one."""
    meant, change = asked.meant, asked.change
    said = {} if meant.job else meant.said
    if said is None:
        return None
    words = [meant.job] if meant.job else []
    options = [f"{name}={'' if value is None else option_text(value)}" for name, value in change.options.items()]
    return typed(
        "redo", *words, **said, seed=change.seed, options=options or None, to=change.account,
        to_operation=change.operation,
    )  # fmt: skip
