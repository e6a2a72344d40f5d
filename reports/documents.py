"""Documents: what batches, plans, accounts and schedules are in JSON, the same for commands and the API."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.orm import Session

from catalog.errors import Mistake
from catalog.intake import Intake
from catalog.plan import Plan
from recast.hints import hint
from recast.money import Money
from reports.text import moment, probing, stopped
from reports.written import priced
from workers.accounts import admission, overrides
from workers.accounts.admission import AdmissionState
from workers.config.accounts import Account
from workers.schedules.service import ScheduleStatus

ACCEPTS = "accepts jobs"


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """An account: whether it accepts jobs, and the limits that people changed while it ran."""

    account: Account
    admission: AdmissionState
    note: str | None
    overridden_by: str | None
    overridden_at: datetime | None

    @property
    def changed(self) -> str:
        """The changed limits, who changed them and when."""
        if not self.admission.overrides:
            return ""
        return f"{overrides.described(self.admission.overrides)} ({self.overridden_by}, {moment(self.overridden_at)})"

    @property
    def state(self) -> str:
        """Whether it accepts jobs; if not, why and until when."""
        if self.admission.closed_for is None:
            return probing(self.admission.failures) if self.admission.failures else ACCEPTS
        return stopped(self.admission.closed_reason, self.admission.until, self.note)

    @property
    def advice(self) -> str:
        """What to do about an account that is stopped; empty while it is not."""
        if self.admission.closed_for is None:
            return ""
        if self.admission.until is not None:
            return "wait; it starts by itself"
        return f"settle the cause, then run {hint('accounts resume', self.account.name)}"


def statuses_of(session: Session, chosen: Sequence[Account]) -> list[AccountStatus]:
    """The states of accounts, in the given order."""
    notes = admission.notes(session)
    return [AccountStatus(account, admission.read(session, account.name), *notes[account.name]) for account in chosen]


def of_account(status: AccountStatus) -> dict[str, Any]:
    """An account with its limits and its state."""
    seen = status.admission
    limits = status.account.with_overrides(seen.overrides)
    return {
        "account": status.account.name,
        "provider": status.account.provider,
        "operations": list(status.account.operations),
        "open": seen.closed_for is None,
        "closed_reason": seen.closed_reason if seen.closed_for is not None else None,
        "closed_note": status.note if seen.closed_for is not None else None,
        # JSON has no infinity: null means "until a person resumes it".
        "closed_seconds": seen.closed_for if seen.closed_for is not None and math.isfinite(seen.closed_for) else None,
        "failures": seen.failures,
        "in_flight": seen.count.open,
        "max_in_flight": limits.max_in_flight,
        "rate_per_second": limits.rate,
        "order": status.account.order,
        "prices": limits.prices,
        "budget": limits.budget,
        "overrides": {
            name: {part: getattr(limits, name).get(part) for part in value} if isinstance(value, Mapping) else value
            for name, value in seen.overrides.items()
        },
        "overridden_by": status.overridden_by,
        "overridden_at": status.overridden_at,
    }


def of_schedule(status: ScheduleStatus, currency: str) -> dict[str, Any]:
    """A schedule with its options and its latest run."""
    options = status.options.document()
    if status.options.max_cost is not None:
        options["max_cost"] = Money(status.options.max_cost, currency)
    return {**priced(asdict(status), currency), "options": options}


def of_plan(intake: Intake, found: Plan, refused: Iterable[Mistake], currency: str) -> dict[str, Any]:
    """What a run would do and cost."""
    return {
        "batch": intake.name,
        "rows": intake.rows,
        "verdicts": dict(found.verdicts),
        "queued": found.queued,
        "lanes": {lane: share.rows for lane, share in found.lanes.items()},
        "parts": [
            {"operation": operation, "account": account, "jobs": round(jobs, 1)}
            for operation, account, jobs in found.parts
        ],
        "cost": {
            "cheapest": Money(found.cheapest, currency),
            "dearest": Money(found.dearest, currency),
            "at_most": Money(found.at_most, currency),
        },
        "redo_cap": Money(found.redo_cap, currency),
        "pilot": found.pilot and {"rows": found.pilot.rows, "at_most": Money(found.sent_at_most, currency)},
        "paid_attempts": found.paid_attempts,
        "max_cost": None
        if found.limit is None
        else {
            "limit": Money(found.limit.amount, currency),
            "spent": Money(found.limit.spent, currency),
            "rows": found.limit.rows,
        },
        "made_from": None if found.places is None else found.places.before,
        "same_picture": list(found.same),
        "downloadable": found.free,
        "unpriced": sorted(found.unpriced),
        "seconds": None if found.forecast.seconds is None else round(found.forecast.seconds, 1),
        "bounds": dict(found.forecast.bounds),
        "waiting": sorted(found.forecast.stranded),
        "closed": {name: each.closed for name, each in found.statuses.items() if each.closed},
        "refused": [
            {"line": each.line, "key": each.key, "column": each.column, "message": each.message} for each in refused
        ],
    }
