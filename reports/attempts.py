"""Attempts as a list, newest first, a page by its key: the rows behind the money and the failures that pages count."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.fragments import is_open, is_paid
from reports.grid import Place, find_jobs
from reports.grid_filter import GridFilter
from reports.today import is_failure

PAGE = 50  # attempts of one page; of a batch, jobs whose attempts a page has
LOOKED_AT = 5_000  # attempts that a page looks at for those that are meant: they take 20 ms


class Which(StrEnum):
    """Which attempts are meant, in the words of the pages that count them."""

    PAID = "paid"
    FAILED = "failed"
    IN_FLIGHT = "in_flight"


_MEANT: Mapping[Which | None, str] = {
    None: "true", Which.PAID: is_paid("a"), Which.FAILED: is_failure("a"), Which.IN_FLIGHT: is_open("a")
}  # fmt: skip
# By account, because the index is.
_LOOKED = """
    SELECT found.id, found.created_at, found.state FROM accounts c CROSS JOIN LATERAL (
        SELECT id, created_at, state FROM attempts
        WHERE account = c.name AND created_at >= coalesce(cast(:start AS timestamptz), '-infinity')
            AND created_at < coalesce(cast(:end AS timestamptz), 'infinity')
            AND (created_at, id) < (
                coalesce((SELECT o.created_at FROM attempts o WHERE o.id = cast(:before AS uuid)), 'infinity'),
                coalesce(cast(:before AS uuid), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            )
        ORDER BY created_at DESC, id DESC LIMIT :limit
    ) found
    WHERE cast(:account AS text) IS NULL OR c.name = :account
    ORDER BY found.created_at DESC, found.id DESC LIMIT :limit
"""
# These have an index of their own.
_OPEN = f"""
    SELECT a.id, a.created_at, a.state FROM accounts c JOIN attempts a ON a.account = c.name
    WHERE {is_open("a")} AND (cast(:account AS text) IS NULL OR c.name = :account)
        AND (cast(:before AS uuid) IS NULL OR (a.created_at, a.id) < (
            SELECT o.created_at, o.id FROM attempts o WHERE o.id = cast(:before AS uuid)
        ))
"""


_NEWEST = "created_at DESC, id DESC"


def _rows(found: str, order: str) -> str:
    return f"""
        SELECT a.id, a.job_id, a.number, a.account, a.operation, a.state, a.reason, a.error, a.cost, a.created_at,
            a.finished_at, j.key, j.seq, b.id AS batch_id, b.name AS batch
        FROM ({found}) chosen JOIN attempts a ON a.id = chosen.id JOIN jobs j ON j.id = a.job_id
        JOIN batches b ON b.id = j.batch_id ORDER BY {order}
    """


def _latest(looked: str, which: Which | None) -> str:
    # Chosen before anything is joined to them: of 5,000, a page shows 50.
    chosen = f"SELECT id FROM ({looked}) a WHERE {_MEANT[which]} ORDER BY {_NEWEST} LIMIT :number"
    return _rows(chosen, "a.created_at DESC, a.id DESC")


_SENT = {which: text(_latest(_LOOKED, which)) for which in (None, Which.PAID, Which.FAILED)}
_IN_FLIGHT = text(_latest(_OPEN, None))
_EDGE = text(f"SELECT count(*) AS number, (array_agg(id ORDER BY created_at, id))[1] AS id FROM ({_LOOKED}) looked")
_OF_JOBS = {
    which: text(_rows(f"SELECT id FROM attempts a WHERE job_id = ANY(:ids) AND {_MEANT[which]}", "j.seq, a.number"))
    for which in (None, *Which)
}


@dataclass(frozen=True, slots=True)
class AttemptsFilter:
    """Which attempts a page has: of all accounts or one, sent from `start` on and before `end`."""

    which: Which | None = None
    account: str | None = None
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptsPage:
    """Some attempts; `after` selects the next ones, which may be needed to find any."""

    attempts: Sequence[Row[Any]]
    after: uuid.UUID | int | None


def sent(session: Session, asked: AttemptsFilter, after: uuid.UUID | None = None) -> AttemptsPage:
    """A page of attempts, newest first: the latest, or those sent before the attempt `after`."""
    looked_at = PAGE + 1 if asked.which is None else LOOKED_AT
    place = {"account": asked.account, "before": after}
    if asked.which is Which.IN_FLIGHT:
        return _cut(session.execute(_IN_FLIGHT, {**place, "number": PAGE + 1}).all())
    given = {**place, "start": asked.start, "end": asked.end, "limit": looked_at}
    rows = session.execute(_SENT[asked.which], {**given, "number": PAGE + 1}).all()
    if asked.which is None or len(rows) > PAGE:
        return _cut(rows)
    edge = session.execute(_EDGE, given).one()
    return AttemptsPage(rows, edge.id if edge.number == LOOKED_AT else None)


def of_batch(session: Session, batch_id: int, which: Which | None = None, after: int = -1) -> AttemptsPage:
    """The attempts of some jobs of a batch, in its order: of the first ones, or those after the place `after`."""
    jobs = find_jobs(session, batch_id, GridFilter(), Place(0, 0.0, after), limit=PAGE).jobs
    rows = session.execute(_OF_JOBS[which], {"ids": [job.id for job in jobs]}).all()
    return AttemptsPage(rows, jobs[-1].place.seq if len(jobs) == PAGE else None)


def _cut(rows: Sequence[Row[Any]]) -> AttemptsPage:
    return AttemptsPage(rows[:PAGE], rows[PAGE - 1].id if len(rows) > PAGE else None)
