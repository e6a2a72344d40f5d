"""Jobs that wait for a decision, a page at a time, and how many there are with how much money at stake.

Batches keep how many of their jobs are held, so that only those with such jobs are looked into.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from providers import PROVIDERS
from workers.config.accounts import Account
from workers.jobs.filters import Filter
from workers.operations.resolve import Held, held
from workers.restore import reconcile

PAGE = 50  # held jobs of one page: a form with a box for each has fewer fields than it may have
COUNTED = 1_000  # held jobs whose money is summed; of more, "at least"

_PLACES = text(f"""
    SELECT found.id, found.seq FROM (
        SELECT id FROM batches WHERE (held > 0 OR id = {SINGLES}) AND (cast(:batch AS text) IS NULL OR name = :batch)
    ) b CROSS JOIN LATERAL (
        SELECT id, seq FROM jobs WHERE batch_id = b.id AND state = 'held' AND seq > :after ORDER BY seq LIMIT :limit
    ) found
    ORDER BY found.seq LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class HeldPage:
    """Some held jobs; `after` selects the next ones."""

    jobs: Sequence[Held]
    after: int | None


@dataclass(frozen=True, slots=True)
class Stake:
    """How many jobs wait for a decision, and what they may cost; with `more`, there are more than were counted."""

    jobs: int
    cost: Decimal
    more: bool


def of(session: Session, accounts: Mapping[str, Account], which: Filter) -> list[Held]:
    """The jobs of a filter that wait for a decision, those that a restore held among them."""
    return held(session, which) + reconcile.waiting(session, accounts, which)


def page(
    session: Session, accounts: Mapping[str, Account], *, batch: str | None = None, after: int | None = None
) -> HeldPage:
    """A page of held jobs in the order of their arrival, of one batch or of all."""
    rows = _places(session, batch, after, PAGE + 1)
    found = of(session, accounts, Filter(ids=[row.id for row in rows[:PAGE]])) if rows else []
    return HeldPage(found, rows[PAGE - 1].seq if len(rows) > PAGE else None)


def first(session: Session, accounts: Mapping[str, Account], batch: str | None = None) -> tuple[list[Held], bool]:
    """The first held jobs, as many as are decided about at once, and whether there are more."""
    rows = _places(session, batch, None, COUNTED + 1)
    found = of(session, accounts, Filter(ids=[row.id for row in rows[:COUNTED]])) if rows else []
    return found, len(rows) > COUNTED


def stake(session: Session, accounts: Mapping[str, Account], batch: str | None = None) -> Stake:
    """How many jobs wait for a decision, and the money at stake."""
    found, more = first(session, accounts, batch)
    return Stake(len(found), sum((job.cost for job in found), Decimal(0)), more)


def can_be_asked(accounts: Mapping[str, Account], job: Held) -> bool:
    """Whether the provider has a list of its own in which a program can look for a lost submission."""
    account = accounts.get(job.account)
    provider = account.provider if account is not None else job.operation.partition(".")[0]
    return provider in PROVIDERS and PROVIDERS[provider].CAN_LOCATE


def _places(session: Session, batch: str | None, after: int | None, limit: int) -> Sequence[Row[Any]]:
    return session.execute(_PLACES, {"batch": batch, "after": -1 if after is None else after, "limit": limit}).all()
