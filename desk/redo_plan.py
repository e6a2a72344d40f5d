"""The plan of a redo: what each picture would be asked for anew, what that costs, and which limits stand before it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.fragments import columns, is_open
from models.jobs import INPUTS, PINS
from models.spend import account_scope, spent_by
from models.states import JobState
from recast.errors import InvalidJobError
from recast.hints import hint
from recast.money import Money
from reports.written import priced
from workers.accounts import overrides
from workers.accounts.budget import periods
from workers.config.accounts import Account
from workers.config.settings import Settings
from workers.jobs.filters import Filter
from workers.jobs.releases import refusal, says
from workers.jobs.request import CONSENT, JobRequest
from workers.jobs.routing import Reach, in_one_form, route
from workers.operations.costs import Line, lines

#: States of a job that can be asked for anew.
REDOABLE = (JobState.SUCCEEDED, JobState.FAILED, JobState.REJECTED, JobState.CANCELED)
MOST_REDONE = 10_000  # jobs that are begun in one transaction: a second
_OPEN = f"EXISTS (SELECT FROM attempts o WHERE o.job_id = j.id AND {is_open('o')})"
#: How often a job was redone.
REDONE = "(SELECT count(*) FROM redos WHERE redos.job_id = j.id)"
_JOBS = text(f"""
    SELECT j.id, j.batch_id, j.version, j.state, j.kind, {columns((*INPUTS, *PINS), "j")},
        j.extra ->> '{CONSENT}' AS consent, {refusal("r", "j.kind", "b.label")} AS unreleased,
        j.erased_at IS NOT NULL AS erased, {REDONE} AS redone, {_OPEN} AS at_provider
    FROM jobs j JOIN batches b ON b.id = j.batch_id LEFT JOIN releases r ON r.reference = j.extra ->> '{CONSENT}'
    WHERE j.id = ANY(:ids) ORDER BY j.id
""")
_BATCHES = text(f"""
    SELECT name, max_cost, {spent_by("batches.id")} AS spent FROM batches
    WHERE id > 0 AND id = ANY(:ids) AND max_cost IS NOT NULL ORDER BY name
""")
_SPENT = text("SELECT period, amount FROM spend WHERE scope = :scope AND period = ANY(:periods)")


@dataclass(frozen=True, slots=True)
class Change:
    """What is asked for otherwise than before; nothing: the same again."""

    #: A picture made with another seed is another picture.
    seed: int | None = None
    #: Options by name; None takes one away.
    options: Mapping[str, Any] = field(default_factory=dict)
    account: str | None = None
    operation: str | None = None

    def said(self) -> dict[str, Any]:
        """What is said, for the audit."""
        return {"seed": self.seed, "options": sorted(self.options), "to": self.account, "to_operation": self.operation}


@dataclass(frozen=True, slots=True)
class Terms:
    """What a deployment says about redos."""

    accounts: Mapping[str, Account]
    reach: Reach
    #: Attempts of a job that may be paid.
    paid_attempts: int
    max_attempts: int
    #: Redos of one job.
    most: int
    #: What a reviewer may spend on redos in a day.
    reviewer_cap: Decimal
    currency: str

    @classmethod
    def of(cls, settings: Settings, accounts: Mapping[str, Account], reach: Reach) -> Terms:
        """Those of a deployment's settings."""
        return cls(
            accounts, reach, settings.tries.paid, settings.max_attempts, settings.redo_most, settings.review_redo_cap,
            settings.currency,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planned:
    """One job as it would be asked for anew; `version` is the one that was looked at."""

    job_id: str
    batch_id: int
    version: int
    lane: str
    options: Mapping[str, Any]
    account: str | None
    provider: str | None
    operation: str | None
    at_most: Decimal


@dataclass(frozen=True, slots=True)
class Cap:
    """A limit that is in force, and what was spent of it."""

    #: Whose it is: ``batch spring`` or ``account main, per day``.
    of: str
    limit: Decimal
    spent: Decimal

    @property
    def left(self) -> Decimal:
        """What may still be spent."""
        return max(Decimal(0), self.limit - self.spent)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a redo would do."""

    jobs: tuple[Planned, ...]
    #: What the pictures cost, each paid once; and with every attempt that may be paid.
    lines: tuple[Line, ...]
    most: tuple[Line, ...]
    caps: tuple[Cap, ...]
    #: Why jobs are left out, and how many for each reason; where each names its own picture, the first one says it.
    left_out: Mapping[str, int]

    @property
    def cost(self) -> Decimal:
        """All pictures, each paid once."""
        return sum((line.cost for line in self.lines), Decimal(0))

    @property
    def at_most(self) -> Decimal:
        """All pictures with every attempt that may be paid."""
        return sum((job.at_most for job in self.jobs), Decimal(0))

    @property
    def unpriced(self) -> list[str]:
        """Operations whose price is not known."""
        return [f"{line.operation} at {line.account}" for line in self.lines if not line.priced]

    def document(self, currency: str, done: int, *, dry_run: bool) -> dict[str, Any]:
        """It, and how much of it was done, for JSON."""
        most = {(line.account, line.operation): line.cost for line in self.most}
        lines = [{**asdict(line), "at_most": most[line.account, line.operation]} for line in self.lines]
        caps = [{"of": cap.of, "limit": cap.limit, "spent": cap.spent, "left": cap.left} for cap in self.caps]
        return {
            "bulk_operation": "redo", "dry_run": dry_run, "jobs": len(self.jobs), "done": done,
            "cost": Money(self.cost, currency), "at_most": Money(self.at_most, currency),
            "lines": priced(lines, currency), "caps": priced(caps, currency), "left_out": dict(self.left_out),
        }  # fmt: skip


def redoable(which: Filter) -> Filter:
    """The filter as a redo means it: without a state and without named jobs, it means jobs with a picture.

    Raises:
        InvalidJobError: a state cannot be redone.
    """
    if wrong := [state for state in which.states or () if state not in REDOABLE]:
        raise InvalidJobError("state", f"{wrong[0]!r} jobs cannot be redone; allowed: {', '.join(REDOABLE)}")
    named = which.states is not None or which.ids is not None
    return which if named else replace(which, states=[JobState.SUCCEEDED])


def require_few(number: int) -> None:
    """Refuse what is more than one transaction begins.

    Raises:
        InvalidJobError: it is.
    """
    if number > MOST_REDONE:
        raise InvalidJobError(
            "filter", f"more than {MOST_REDONE:,} jobs fit; allowed: up to {MOST_REDONE:,}; {hint('redo')} takes more"
        )


def option_value(text: str) -> Any:
    """The value of an option as JSON has it; what is not JSON is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def option_text(value: Any) -> str:
    """What `option_value` reads as this value."""
    return value if isinstance(value, str) and option_value(value) == value else json.dumps(value, ensure_ascii=False)


def plan(session: Session, ids: Sequence[str], change: Change, terms: Terms) -> Plan:
    """What a redo of these jobs would do, with what is said in `change`; it changes nothing."""
    terms = replace(terms, accounts=overrides.in_force(session, terms.accounts))
    planned: list[Planned] = []
    left_out: dict[str, list[str]] = {}
    for job in session.execute(_JOBS, {"ids": list(ids)}):
        try:
            planned.append(_planned(job, change, terms))
        except (InvalidJobError, _LeftOutError) as error:
            left_out.setdefault(_without_values(str(error), job), []).append(str(error))
    once = _lines(planned, terms, 1)
    return Plan(
        tuple(planned), once, _lines(planned, terms, terms.paid_attempts),
        tuple(_caps(session, {each.batch_id for each in planned}, once, terms.accounts)),
        {_one_of(said): len(said) for said in left_out.values()},
    )  # fmt: skip


def _without_values(why: str, job: Row[Any]) -> str:
    """A reason without what it quotes of the job, so that jobs with one fault have one reason."""
    for value in (job.source, job.target, job.image, *job.options.values()):
        why = why.replace(repr(value), "...")
    return why


def _one_of(said: Sequence[str]) -> str:
    return said[0] if len(set(said)) == 1 else f"for example, {said[0]}"


class _LeftOutError(Exception):
    """A job cannot be asked for anew now; the message says why."""


def _planned(job: Row[Any], change: Change, terms: Terms) -> Planned:
    if job.state == JobState.HELD:
        raise _LeftOutError(f"a person has to decide about it first: {hint('resolve')}")
    if job.state not in REDOABLE or job.at_provider:
        raise _LeftOutError("it is under way already")
    if job.erased:
        raise _LeftOutError("its pictures were removed")
    if job.unreleased is not None:
        raise _LeftOutError(says(job.consent, job.unreleased))
    if job.redone >= terms.most:
        raise _LeftOutError(f"it was redone {job.redone} times already; RECAST_REDO_MOST allows {terms.most}")
    ask = asked(job, change, terms.accounts)
    lane = route(ask, terms.accounts, terms.reach)
    ask = in_one_form(ask, lane, terms.accounts)
    most = sum((line.cost for line in lines([(lane, ask.options, 1)], terms.accounts, terms.paid_attempts)), Decimal(0))
    return Planned(
        job.id, job.batch_id, job.version, lane, ask.options, ask.account, ask.provider, ask.operation, most
    )  # fmt: skip


def asked(job: Any, change: Change, accounts: Mapping[str, Account]) -> JobRequest:
    """The request of a redo: the job's own, and what is said otherwise.

    At another account its own pins of provider and operation hold only if they can.
    """
    given = {**job.options, **change.options, **({} if change.seed is None else {"seed": change.seed})}
    account, provider, operation = job.account, job.provider, job.operation
    if change.operation is not None:
        operation, provider = change.operation, None
        chosen = accounts.get(account or "")
        if change.account is None and chosen is not None and operation not in chosen.operations:
            account = None
    if change.account is not None:
        account, provider = change.account, None
        chosen = accounts.get(account)
        if change.operation is None and chosen is not None and operation not in chosen.operations:
            operation = None
    return JobRequest(
        kind=job.kind, source=job.source, target=job.target, image=job.image, prompt=job.prompt, account=account,
        provider=provider, operation=operation, consent=job.consent,
        options={name: value for name, value in given.items() if value is not None},
    )  # fmt: skip


def _lines(planned: Iterable[Planned], terms: Terms, attempts: int) -> tuple[Line, ...]:
    return tuple(lines(((each.lane, each.options, 1) for each in planned), terms.accounts, attempts))


def _caps(
    session: Session, batches: Iterable[int], found: Iterable[Line], accounts: Mapping[str, Account]
) -> Iterable[Cap]:
    for row in session.execute(_BATCHES, {"ids": sorted(batches)}):
        yield Cap(f"batch {row.name}", row.max_cost, row.spent)
    names = periods(datetime.now(UTC))
    for name in sorted({line.account for line in found} & accounts.keys()):
        budget = accounts[name].budget
        given = {"scope": account_scope(name), "periods": [names[period] for period in budget]}
        spent = {row.period: row.amount for row in session.execute(_SPENT, given)}
        for period, limit in budget.items():
            yield Cap(f"account {name}, per {period}", limit.amount, spent.get(names[period], Decimal(0)))
