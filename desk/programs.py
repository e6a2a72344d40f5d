"""Review, redos and pilots for programs: the server's side of `recast.review`, `redo` and `pilot`."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping
from dataclasses import replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from catalog.runs import deployment
from desk import pilot_quotes
from desk.actors import Actor, from_command
from desk.limits import higher_limit, limit_of
from desk.pilot import NoPilotError, go_on
from desk.pilot import stop as end
from desk.redo import check_limits, portions
from desk.redo import redo as begin
from desk.redo_plan import Change, Terms, plan, redoable
from desk.selecting import require_few, require_reason, select
from desk.selections import decidable, decide_all
from desk.verdicts import Decision, DeskError, checked
from models.batches import SINGLES, SINGLES_NAME
from models.checks import ASKED_CHECKS, named_checks
from models.verdicts import Verdict
from recast.errors import InvalidJobError
from recast.money import Money
from recast.reviews import Pilot, Reviewed
from recast.runs import Redone
from reports.batch import BatchReport, find
from reports.selection import resolved
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.filters import Filter, all_ids

E = TypeVar("E", bound=StrEnum)


def redo(
    batch: str | None, keys: tuple[str, ...], jobs: object, *, singles: bool, verdict: str | None,
    reason: str | None, check: object, account: str | None, operation: str | None, seed: int | None,
    options: Mapping[str, Any] | None, to: str | None, to_operation: str | None, max_cost: object, dry_run: bool,
) -> Redone:  # fmt: skip
    """Plan and begin a redo; the arguments and errors are those of `recast.redo`."""
    _require_flags(singles=singles, dry_run=dry_run)
    ids = _some("jobs", jobs) or []
    if singles and (batch is not None or keys or ids):
        raise InvalidJobError("singles", "they are of no batch; allowed: without a batch, keys and jobs")
    if not (batch or ids or singles):
        raise InvalidJobError("batch", "is missing; name a batch, or jobs, or say singles")
    which = _which(SINGLES_NAME if singles else batch, verdict, reason, check, account, operation)
    change = Change(seed, options or {}, to, to_operation)
    with deployment() as runtime:
        terms = Terms.of(runtime.settings, runtime.accounts, runtime.reach)
        limit = None if max_cost is None else limit_of(max_cost, terms.currency).amount
        which = runtime.db(resolved, which, [*ids, *(f"{batch}/{key}" for key in keys)])
        chosen = runtime.db(all_ids, redoable(which))
        found = runtime.db(plan, chosen, change, terms)
        try:
            require_reason("reason", reason, runtime.settings.review_reasons, found=bool(chosen))
            check_limits(found, terms, limit)
        except DeskError as error:
            raise _refused("max_cost", error) from None
        actor = _actor()
        parts = () if dry_run else portions(found)
        done = sum(len(runtime.db(begin, actor, part, change, terms).ids) for part in parts)
        wake(runtime, *map(submit_pump, runtime.accounts if done else ()))
        cost, most = Money(found.cost, terms.currency), Money(found.at_most, terms.currency)
        return Redone(len(found.jobs), done, cost, most, found.left_out)


def review(
    batch: str | None, keys: tuple[str, ...], jobs: object, *, say: str, reasons: Collection[str],
    note: str | None, verdict: str | None, reason: str | None, check: object, account: str | None,
    operation: str | None, dry_run: bool,
) -> Reviewed:  # fmt: skip
    """Decide about pictures; the arguments and errors are those of `recast.review`."""
    _require_flags(dry_run=dry_run)
    decision = None if say == _UNDO else Decision(_member(Verdict, "say", say, _UNDO), tuple(reasons), note)
    ids = _some("jobs", jobs)
    if keys and (batch is None or ids):
        raise InvalidJobError("keys", f"{keys[0]!r} is not possible; allowed: keys of rows of a batch, or jobs by id")
    if decision is not None and verdict is None and not (keys or ids):
        verdict = Verdict.UNREVIEWED
    which = replace(_which(batch, verdict, reason, check, account, operation), ids=ids)
    with deployment() as runtime:
        batch_id = SINGLES if batch is None else runtime.db(find, batch).id
        which = runtime.db(resolved, which, [f"{batch}/{key}" for key in keys])
        found = runtime.db(select, replace(which, batch=SINGLES_NAME if batch is None else batch))
        try:
            require_few(found)
            require_reason("reason", reason, runtime.settings.review_reasons, found=bool(found))
            if decision is not None:
                decision = checked(decision, runtime.settings.review_reasons)
        except DeskError as error:
            raise _refused("say", error) from None
        found, done = decidable(runtime, _actor(), batch_id, found, decision)
        if not dry_run:
            done.add(decide_all(runtime, _actor(), batch_id, found, decision, str(uuid.uuid4())))
        left = {why.value: number for why, number in done.left_out.items() if number}
        return Reviewed(len(found), done.number, left)


def pilot(batch: str, *, decide: str | None, max_cost: object) -> Pilot:
    """Say how a pilot stands, and decide about it; the arguments and errors are those of `recast.pilot`."""
    if decide not in (None, _GO_ON, _STOP):
        raise InvalidJobError("decide", f"{decide!r} is not possible; allowed: {_GO_ON}, {_STOP}")
    if max_cost is not None and decide != _GO_ON:
        raise InvalidJobError("max_cost", f"{max_cost} is a limit for the rest; allowed: with {_GO_ON}")
    with deployment() as runtime:
        report, currency = runtime.db(find, batch), runtime.settings.currency
        limit = None if max_cost is None else higher_limit(max_cost, report, currency).amount
        try:
            found = pilot_quotes.read(runtime, report)
        except NoPilotError as error:
            raise _refused("batch", error) from None
        try:
            done = 0 if decide is None else _decided(runtime, report, limit, stop=decide == _STOP)
        except DeskError as error:
            raise _refused("decide", error) from None
        said, rest = found.accepted, found.rest
        return Pilot(
            found.sample, found.made, found.approved, found.needs_work, found.waiting, Money(rest.likely, currency),
            Money(rest.at_most, currency), said.likely, said.low, said.high, found.decision, done,
        )  # fmt: skip


_UNDO, _GO_ON, _STOP = "undo", "go_on", "stop"


def _decided(runtime: Runtime, report: BatchReport, limit: Decimal | None, *, stop: bool) -> int:
    return end(runtime, _actor(), report) if stop else go_on(runtime, _actor(), report, limit)


def _which(
    batch: str | None, verdict: str | None, reason: str | None, check: object, account: str | None,
    operation: str | None,
) -> Filter:  # fmt: skip
    """The pictures of a batch, or of single jobs, that the arguments of a program choose.

    Raises:
        InvalidJobError: there is no such verdict or check.
    """
    names = _some("check", check)
    return Filter(
        batch=batch, account=account, operation=operation, fault=reason,
        verdict=None if verdict is None else _member(Verdict, "verdict", verdict),
        check=None if names is None else named_checks([_check(each) for each in names]),
    )  # fmt: skip


def _check(given: str) -> str:
    if given not in ASKED_CHECKS:
        raise InvalidJobError("check", f"{given!r} is not possible; allowed: {', '.join(ASKED_CHECKS)}")
    return given


def _some(argument: str, given: object) -> list[str] | None:
    """The words of a list; None where none is given, which means no condition.

    Raises:
        InvalidJobError: it is one word, or has none: what came out empty does not mean everything.
    """
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Collection):
        raise InvalidJobError(argument, f"{given!r} is not possible; allowed: a list, such as [{str(given)[:40]!r}]")
    if not given:
        raise InvalidJobError(argument, "it is empty, and chooses nothing; allowed: one or more, or left out")
    return list(given)


def _require_flags(**given: object) -> None:
    """Refuse a word where a truth value is meant: ``"no"`` would count as true.

    Raises:
        InvalidJobError: names the first.
    """
    for argument, value in given.items():
        if not isinstance(value, bool):
            raise InvalidJobError(argument, f"{value!r} is not possible; allowed: True, False")


def _refused(argument: str, error: DeskError) -> InvalidJobError:
    """What the desk refuses, of the argument that it names itself or else of this one."""
    said, colon, message = str(error).partition(": ")
    named = bool(colon) and said.isidentifier()
    return InvalidJobError(said if named else argument, message if named else str(error))


def _actor() -> Actor:
    return replace(from_command(), via="program")


def _member(kind: type[E], argument: str, given: str, *more: str) -> E:
    try:
        return kind(given)
    except ValueError:
        raise InvalidJobError(argument, f"{given!r} is not possible; allowed: {', '.join([*kind, *more])}") from None
