"""The gallery's pages as data: few rows per page, whatever the size of the batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, finished_attempt, last_attempt, paid_for
from models.jobs import ROLES
from models.states import JobState
from workers.images.originals import Mark

PAGE = 24  # cards per page: fills rows of two, three, four and six


def _page(beyond: str, order: str) -> str:
    # One short index scan for each state, so that a page of a million jobs costs the same as a page of ten.
    return f"""
        SELECT j.id, j.seq, j.key, j.kind, j.state, j.reason, j.error, {columns((*ROLES, "prompt"), "j")},
            coalesce(last.account, j.account) AS account, coalesce(last.operation, j.operation) AS operation,
            coalesce(paid.cost, 0) AS cost, result.id AS result_id, result.width, result.height,
            result.number AS pictures
        FROM (
            SELECT found.id FROM unnest(cast(:states AS text[])) AS wanted(state) CROSS JOIN LATERAL (
                SELECT id, seq FROM jobs WHERE batch_id = :batch_id AND state = wanted.state AND seq {beyond} :seq
                ORDER BY seq {order} LIMIT :limit
            ) found
            ORDER BY found.seq {order} LIMIT :limit
        ) page JOIN jobs j ON j.id = page.id
        LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
        LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
        LEFT JOIN LATERAL (
            SELECT r.id, r.width, r.height, count(*) OVER () AS number FROM results r
            WHERE j.state = 'succeeded' AND r.attempt_id = {finished_attempt("j.id")}
            ORDER BY r.index LIMIT 1
        ) result ON true
        ORDER BY j.seq
    """


_FORWARD = text(_page(">", "ASC"))
_BACKWARD = text(_page("<", "DESC"))
_BATCH = text("SELECT name FROM batches WHERE id = :id AND id > 0")
_RESULT = text("""
    SELECT key, sha256, original_key, original_sha256, mark_start, mark_length FROM results WHERE id = :id
""")


@dataclass(frozen=True, slots=True)
class Card:
    """One job in a batch's gallery."""

    id: str
    seq: int
    key: str | None
    kind: str
    state: str
    reason: str | None
    error: str | None
    source: str | None
    target: str | None
    image: str | None
    prompt: str | None
    account: str | None
    operation: str | None
    cost: Decimal
    #: The first result, and its width and height in pixels.
    result_id: int | None
    width: int | None
    height: int | None
    pictures: int | None

    @property
    def before(self) -> str | None:
        """The role of the input picture that the job changes."""
        return "target" if self.target else "image" if self.image else None


class File(NamedTuple):
    """A file of the storage, and what to leave out of it."""

    key: str
    mark: Mark | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Some cards in the order of the catalog; `after` and `before` select the next and the previous page."""

    cards: Sequence[Card]
    after: int | None
    before: int | None


def batch_name(session: Session, batch_id: int) -> str | None:
    """The name of a batch, or None if it does not exist."""
    name: str | None = session.execute(_BATCH, {"id": batch_id}).scalars().first()
    return name


def page(
    session: Session, batch_id: int, states: Sequence[JobState], *, after: int | None = None, before: int | None = None
) -> Page:
    """A page of a batch's jobs in `states`: the first, the one after `after`, or the one before `before`."""
    backward = before is not None
    rows = session.execute(
        _BACKWARD if backward else _FORWARD,
        {
            "states": [state.value for state in states],
            "batch_id": batch_id,
            "seq": before if backward else after or 0,
            "limit": PAGE + 1,
        },
    )
    cards = [Card(**row._mapping) for row in rows]
    more = len(cards) > PAGE
    if more:
        cards = cards[1:] if backward else cards[:PAGE]
    if not cards:
        return Page((), None, None)
    return Page(
        cards,
        after=cards[-1].seq if more or backward else None,
        before=cards[0].seq if (more if backward else after is not None) else None,
    )


def result_file(session: Session, result_id: int, size: str) -> File | None:
    """Where a result is (``full``), or the file as the provider made it (``original``); None where there is none."""
    row = session.execute(_RESULT, {"id": result_id}).first()
    if row is None or size not in {"full", "original"}:
        return None
    if size == "full" or row.original_sha256 == row.sha256:
        return File(row.key)
    if row.original_key is not None:
        return File(row.original_key)
    return None if row.mark_start is None else File(row.key, Mark(row.mark_start, row.mark_length))
