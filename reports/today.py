"""The figures of a day: money by hour, open batches, and how accounts do. Each statement reads few rows.

Money is read one hour at a time, so that hours that are over can be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import is_paid, newest_verdict, quoted, seconds_ago
from models.spend import ACCOUNT_NAME, OF_AN_ACCOUNT
from models.states import OPEN_JOB_STATES, AttemptState, JobState
from recast.money import DECIMALS
from reports.batch import BatchReport, unfinished
from reports.documents import AccountStatus, statuses_of
from reports.reviews import Progress, progress
from reports.wilson import interval
from workers.accounts import budget
from workers.config.accounts import Account

HOURS = 24  # that a day's chart shows
LATEST = 500  # attempts of an account that its figures are of: percentiles of as many are steady
FAILURES_SECONDS = 3600.0  # within which failures are counted
OPEN_BATCHES = 200  # that the four numbers sum; a deployment works on a few at a time

_STEP = Decimal(1).scaleb(-DECIMALS)
_SETTLED_BADLY = quoted([JobState.FAILED, JobState.REJECTED, JobState.CANCELED])


def is_failure(attempt: str) -> str:
    """SQL: whether an attempt ended without a result."""
    return f"{attempt}.state IN ({quoted([AttemptState.REFUSED, AttemptState.NOT_SENT, AttemptState.EXPIRED])})"


_NOW = text("SELECT clock_timestamp()")

# By account, because the index is.
_IN_HOUR = text(f"""
    SELECT coalesce(sum(found.cost), 0) FROM accounts c CROSS JOIN LATERAL (
        SELECT sum(a.cost) AS cost FROM attempts a
        WHERE a.account = c.name AND a.created_at >= :start AND a.created_at < :end AND {is_paid("a")}
    ) found
""")
_SPENT = text(f"""
    SELECT {ACCOUNT_NAME} AS account, split_part(period, ':', 1) AS period, amount FROM spend
    WHERE {OF_AN_ACCOUNT} AND period = ANY(:periods)
""")
_FIGURES = text(f"""
    SELECT n.name,
        count(*) FILTER (WHERE a.created_at > {seconds_ago(":seconds")}) AS sent,
        count(*) FILTER (WHERE a.created_at > {seconds_ago(":seconds")} AND {is_failure("a")}) AS failed,
        count(*) AS latest,
        percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (
            ORDER BY extract(epoch FROM a.finished_at - coalesce(a.accepted_at, a.sent_at))
        ) FILTER (WHERE a.state = 'done') AS waited,
        coalesce(sum(a.cost) FILTER (
            WHERE {is_paid("a")} AND (w.verdict <> 'unreviewed' OR j.state IN ({_SETTLED_BADLY}))
        ), 0) AS decided,
        count(DISTINCT a.job_id) FILTER (WHERE a.state = 'done' AND w.verdict = 'approved') AS approved,
        coalesce(sum(said.accepted), 0) AS accepted, coalesce(sum(said.judged), 0) AS judged
    FROM unnest(cast(:names AS text[])) AS n(name) CROSS JOIN LATERAL (
        SELECT * FROM attempts WHERE account = n.name ORDER BY created_at DESC LIMIT :latest
    ) a
    LEFT JOIN jobs j ON j.id = a.job_id LEFT JOIN reviews w ON w.job_id = a.job_id
    LEFT JOIN LATERAL (
        SELECT count(*) FILTER (WHERE v.verdict = 'approved') AS accepted,
            count(*) FILTER (WHERE v.verdict <> 'unreviewed') AS judged
        FROM results r CROSS JOIN LATERAL {newest_verdict("r.id", "verdict")} v
        WHERE r.attempt_id = a.id
    ) said ON true
    GROUP BY n.name
""")


@dataclass(frozen=True, slots=True)
class Hour:
    """What was spent in the hour that begins at `at`; None while it is not counted."""

    at: datetime
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class AccountSpend:
    """What an account has spent today and this month (UTC)."""

    day: Decimal = Decimal(0)
    month: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Figures:
    """How an account does, of its latest attempts."""

    #: Attempts of the last hour, and how many of them did not succeed; `latest` is how many were looked at.
    sent: int
    failed: int
    latest: int
    #: Median and 95th percentile of the seconds from acceptance to the result; None before the first.
    median: float | None
    slow: float | None
    #: What an approved picture costs, of the attempts whose jobs are decided; None without one.
    per_approved: Decimal | None
    #: Pictures of these attempts that people decided about, and how many of them they approved.
    judged: int
    approved: int

    @property
    def between(self) -> tuple[float, float]:
        """Between which shares lies how much of this account's work people approve, with 95 % confidence."""
        return interval(self.approved, self.judged)

    @property
    def more(self) -> bool:
        """Whether the last hour had more attempts than were looked at."""
        return self.sent == self.latest == LATEST


@dataclass(frozen=True, slots=True)
class AccountRow:
    """An account as pages show it."""

    status: AccountStatus
    limits: Account
    spent: AccountSpend
    figures: Figures | None

    @property
    def budgets(self) -> Mapping[str, tuple[Decimal, Decimal]]:
        """What is spent, and the budget, of each period that has one."""
        spent = {"day": self.spent.day, "month": self.spent.month}
        return {name: (spent[name], money.amount) for name, money in self.limits.budget.items()}


@dataclass(frozen=True, slots=True)
class Open:
    """The batches that are not over, and the four numbers over all of them."""

    batches: Sequence[BatchReport]
    numbers: Progress


def hours(session: Session) -> list[datetime]:
    """The beginnings of the hours of a day's chart, the present one last; by the database's clock."""
    now: datetime = session.execute(_NOW).scalar_one()
    present = now.replace(minute=0, second=0, microsecond=0)
    return [present - timedelta(hours=number) for number in range(HOURS - 1, -1, -1)]


def spent_in(session: Session, hour: datetime) -> Decimal:
    """What was spent in one hour."""
    asked = {"start": hour, "end": hour + timedelta(hours=1)}
    return Decimal(session.execute(_IN_HOUR, asked).scalar_one())


def spent_by_accounts(session: Session) -> Mapping[str, AccountSpend]:
    """What each account has spent in the periods that budgets are of."""
    names = list(budget.periods(session.execute(_NOW).scalar_one()).values())
    found: dict[str, dict[str, Decimal]] = {}
    for row in session.execute(_SPENT, {"periods": names}):
        found.setdefault(row.account, {})[row.period] = row.amount
    return {account: AccountSpend(**amounts) for account, amounts in found.items()}


def figures(session: Session, names: Sequence[str]) -> Mapping[str, Figures]:
    """How these accounts do; those without an attempt are left out."""
    asked = {"names": list(names), "latest": LATEST, "seconds": FAILURES_SECONDS}
    found = {}
    for row in session.execute(_FIGURES, asked):
        each = (row.decided / row.approved).quantize(_STEP, ROUND_HALF_UP) if row.approved else None
        median, slow = row.waited or (None, None)
        said = int(row.judged), int(row.accepted)
        found[row.name] = Figures(row.sent, row.failed, row.latest, median, slow, each, *said)
    return found


def account_rows(session: Session, accounts: Mapping[str, Account] | None) -> list[AccountRow]:
    """Accounts with their states, what they have spent and how they do; none where they are not known."""
    known = accounts or {}
    spent, numbers = spent_by_accounts(session), figures(session, list(known))
    return [
        AccountRow(
            status, status.account.with_overrides(status.admission.overrides),
            spent.get(status.account.name, AccountSpend()), numbers.get(status.account.name),
        )
        for status in statuses_of(session, list(known.values()))
    ]  # fmt: skip


def open_batches(session: Session) -> Open:
    """The batches with jobs that wait, are under way or are held, newest first."""
    batches = unfinished(session, OPEN_BATCHES)
    states = (*OPEN_JOB_STATES, *(state for state in JobState if state not in OPEN_JOB_STATES))
    return Open(batches, progress({state: sum(each.counts[state] for each in batches) for state in states}))
