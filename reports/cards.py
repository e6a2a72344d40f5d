"""What the gallery's pages show, read from the database: few rows a page, however many a batch has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, finished_attempt, last_attempt, paid_for
from models.jobs import ROLES
from models.states import JobState

PAGE = 24  # cards: fills rows of two, three, four and six


def _page(beyond: str, order: str) -> str:
    # One short index scan for each state, so that the first page of a million jobs costs what that of ten does.
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
_JOB = text("""
    SELECT j.*, b.name AS batch FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE j.id = :id
""")
_ATTEMPTS = text("""
    SELECT id, number, account, operation, state, reason, error, handle, send_count, cost, sent_at, accepted_at,
        finished_at, polls
    FROM attempts WHERE job_id = :id ORDER BY number
""")
_RESULTS = text("""
    SELECT r.id, r.index, r.sha256, r.size, r.media_type, r.width, r.height, a.number AS attempt
    FROM results r JOIN attempts a ON a.id = r.attempt_id WHERE r.job_id = :id ORDER BY a.number DESC, r.index
""")
_RESULT_KEYS = text("SELECT key, thumbnail_key FROM results WHERE id = :id")
_INPUTS = text(f"SELECT {columns(ROLES)} FROM jobs WHERE id = :id")


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
    #: Of the first picture that came out.
    result_id: int | None
    width: int | None
    height: int | None
    pictures: int | None

    @property
    def before(self) -> str | None:
        """The role of the picture that was to be changed."""
        return "target" if self.target else "image" if self.image else None


@dataclass(frozen=True, slots=True)
class Page:
    """Some cards in the order of the catalog; the numbers begin the pages beside it."""

    cards: Sequence[Card]
    after: int | None
    before: int | None


def batch_name(session: Session, batch_id: int) -> str | None:
    """The name of a batch, or None where there is none."""
    name: str | None = session.execute(_BATCH, {"id": batch_id}).scalars().first()
    return name


def page(
    session: Session, batch_id: int, states: Sequence[JobState], *, after: int | None = None, before: int | None = None
) -> Page:
    """A page of a batch's jobs in `states`: the first, the one behind `after`, or the one that ends at `before`."""
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


@dataclass(frozen=True, slots=True)
class Story:
    """One job with all that was tried and all that came out; the mappings are by column."""

    job: Mapping[str, Any]
    attempts: Sequence[Mapping[str, Any]]
    results: Sequence[Mapping[str, Any]]


def story(session: Session, job_id: str) -> Story | None:
    """Everything of the job with this very id, or None."""
    job = session.execute(_JOB, {"id": job_id}).first()
    if job is None:
        return None
    attempts = [dict(row._mapping) for row in session.execute(_ATTEMPTS, {"id": job_id})]
    results = [dict(row._mapping) for row in session.execute(_RESULTS, {"id": job_id})]
    return Story(dict(job._mapping), attempts, results)


def result_key(session: Session, result_id: int, *, small: bool) -> str | None:
    """Where a picture, or its small copy, lies in the storage."""
    row = session.execute(_RESULT_KEYS, {"id": result_id}).first()
    if row is None:
        return None
    key: str = row.thumbnail_key if small and row.thumbnail_key else row.key
    return key


def input_uri(session: Session, job_id: str, role: str) -> str | None:
    """The picture that a job names as its `role`."""
    row = session.execute(_INPUTS, {"id": job_id}).first()
    uri: str | None = row._mapping[role] if row is not None else None
    return uri
