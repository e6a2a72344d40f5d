"""Jobs that producers sent one by one: a list of them, newest first, a page by its key.

They belong to no batch, so that nothing counts them; of a million, a page reads a few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.base import LAST_BIGINT
from models.batches import SINGLES
from models.fragments import newest_verdict
from models.states import JobState
from reports.batch import BatchReport
from reports.cards import LISTED, LISTED_COLUMNS
from reports.grid import Place, find_jobs
from reports.grid_filter import GridFilter

PAGE = 40  # jobs of one page

_JOBS = text(f"""
    SELECT {LISTED_COLUMNS}, j.created_at, coalesce({newest_verdict("result.id", "id")}, 0) AS verdict_id
    FROM {LISTED} WHERE j.id = ANY(:ids) ORDER BY j.seq DESC
""")


def _nearest(beyond: str, order: str) -> str:
    # One look for each state, because the index is by state.
    return f"""
        SELECT found.seq, found.created_at FROM unnest(cast(:states AS text[])) AS every(state) CROSS JOIN LATERAL (
            SELECT seq, created_at FROM jobs
            WHERE batch_id = {SINGLES} AND state = every.state AND seq {beyond} :seq ORDER BY seq {order} LIMIT 1
        ) found
        ORDER BY found.seq {order} LIMIT 1
    """


_NEXT, _LAST = text(_nearest(">", "ASC")), text(_nearest("<", "DESC"))


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
class SinglesPage:
    """Some jobs, newest first; `before` selects the next page, which may be needed to find any."""

    jobs: Sequence[Row[Any]]
    before: int | None


def page(session: Session, shown: GridFilter, before: int | None = None) -> SinglesPage:
    """A page of single jobs: the latest that fit, or those from before the place `before`."""
    start = None if before is None else Place(0, 0.0, before)
    found = find_jobs(session, SINGLES, shown, start, limit=PAGE + 1, forward=False)
    far = found.jobs[PAGE - 1].place if len(found.jobs) > PAGE else found.stopped
    jobs = session.execute(_JOBS, {"ids": [job.id for job in found.jobs[:PAGE]]}).all()
    return SinglesPage(jobs, None if far is None else far.seq)


def place_before(session: Session, moment: datetime) -> int:
    """The place after the last single job from before `moment`: found by halves, because jobs come in order."""
    states = [state.value for state in JobState]
    newest = session.execute(_LAST, {"states": states, "seq": LAST_BIGINT}).first()
    low, high = -1, -1 if newest is None else newest.seq
    while low < high:  # what is up to `low` came before, and what is beyond `high` did not
        middle = (low + high) // 2
        row = session.execute(_NEXT, {"states": states, "seq": middle}).first()
        if row is None or row.created_at >= moment:
            high = middle
        else:
            low = row.seq
    return low + 1
