"""Jobs that producers sent one by one: a list of them, newest first, a page by its key.

They belong to no batch, so that nothing counts them; of a million, a page reads a few.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.fragments import columns, flags_of, has_picture, last_attempt, paid_for, used_attempt
from models.jobs import ROLES
from models.states import JobState
from models.verdicts import Verdict
from reports.batch import BatchReport
from reports.cards import in_states, places

PAGE = 40  # jobs of one page
LOOKED_AT = 2_000  # jobs that a page looks at for those of an account or an operation: they take 100 ms
LAST = 2**63 - 1  # as the database numbers jobs

_SERVED = f"""
    SELECT looked.id, looked.seq FROM ({{places}}) looked JOIN jobs j ON j.id = looked.id
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
    WHERE (cast(:account AS text) IS NULL OR coalesce(last.account, j.account) = :account)
        AND (cast(:operation AS text) IS NULL OR coalesce(last.operation, j.operation) = :operation)
    ORDER BY looked.seq DESC LIMIT :number
"""


def _page(found: str) -> str:
    return f"""
        SELECT j.id, j.seq, j.state, j.reason, j.error, {columns((*ROLES, "prompt"), "j")}, j.created_at,
            coalesce(last.account, j.account) AS account, coalesce(last.operation, j.operation) AS operation,
            coalesce(paid.cost, 0) AS cost, result.id AS result_id, {flags_of("result.id")} AS flags,
            CASE WHEN j.state = 'succeeded' THEN coalesce(w.verdict, 'unreviewed') END AS verdict
        FROM ({_SERVED.format(places=found)}) page JOIN jobs j ON j.id = page.id
        LEFT JOIN reviews w ON w.job_id = j.id
        LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
        LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
        LEFT JOIN LATERAL (
            SELECT r.id FROM results r
            WHERE {has_picture("j")} AND r.attempt_id = {used_attempt("w.chosen", "j.id")}
            ORDER BY r.id <> coalesce(w.chosen, 0), r.index LIMIT 1
        ) result ON true
        ORDER BY j.seq DESC
    """


def _edge(found: str) -> str:
    return f"SELECT min(seq) AS seq, count(*) AS number FROM ({found}) looked"


_PLACES: Mapping[Verdict | None, str] = {
    None: in_states("<", "DESC"),
    **{verdict: places(verdict, forward=False) for verdict in Verdict},
}
_PAGES = {verdict: text(_page(found)) for verdict, found in _PLACES.items()}
_EDGES = {verdict: text(_edge(found)) for verdict, found in _PLACES.items()}
_NEWEST = text(f"SELECT coalesce(max(seq), -1) AS seq FROM ({in_states('<', 'DESC')}) found")
# The next one after a place, in any state.
_NEXT = text(f"""
    SELECT j.seq, j.created_at FROM ({in_states(">", "ASC")}) found JOIN jobs j ON j.id = found.id
""")


#: What pages of a batch need of them: they have no name, no limit and no numbers that are kept.
AS_A_BATCH = BatchReport(
    SINGLES,
    "Single jobs",
    {state.value: 0 for state in JobState},
    Decimal(0),
    None,
    None,
    datetime.fromtimestamp(0, UTC),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """Which single jobs a page has: in some states, or with a verdict; at an account, of an operation."""

    states: Sequence[JobState] = tuple(JobState)
    verdict: Verdict | None = None
    account: str | None = None
    operation: str | None = None


@dataclass(frozen=True, slots=True)
class SinglesPage:
    """Some jobs, newest first; `before` selects the next page, which may be needed to find any."""

    jobs: Sequence[Row[Any]]
    before: int | None


def page(session: Session, asked: Asked, before: int | None = None) -> SinglesPage:
    """A page of single jobs: the latest, or those from before the place `before`."""
    narrow = asked.account is not None or asked.operation is not None
    given: dict[str, object] = {
        "batch_id": SINGLES, "seq": LAST if before is None else before, "limit": LOOKED_AT if narrow else PAGE + 1
    }  # fmt: skip
    if asked.verdict is None:
        given["states"] = [state.value for state in asked.states]
    served = {"account": asked.account, "operation": asked.operation, "number": PAGE + 1}
    jobs = session.execute(_PAGES[asked.verdict], {**given, **served}).all()
    if len(jobs) > PAGE:
        return SinglesPage(jobs[:PAGE], jobs[PAGE - 1].seq)
    if not narrow:
        return SinglesPage(jobs, None)
    edge = session.execute(_EDGES[asked.verdict], given).one()
    return SinglesPage(jobs, edge.seq if edge.number == LOOKED_AT else None)


def place_before(session: Session, moment: datetime) -> int:
    """The place after the last single job from before `moment`: found by halves, because jobs come in order."""
    given: dict[str, object] = {"batch_id": SINGLES, "states": [state.value for state in JobState], "limit": 1}
    low, high = -1, session.execute(_NEWEST, {**given, "seq": LAST}).scalar_one()
    while low < high:  # what is up to `low` came before, and what is beyond `high` did not
        middle = (low + high) // 2
        row = session.execute(_NEXT, {**given, "seq": middle}).first()
        if row is None or row.created_at >= moment:
            high = middle
        else:
            low = row.seq
    return low + 1
