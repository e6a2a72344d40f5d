"""One job's whole story, and lists of jobs by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import UnknownJobError
from workers.storage import Storage

MIN_PREFIX = 6  # characters of an id: with fewer, too many ids fit

_STORY = text("SELECT j.*, b.name AS batch FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE j.id = :id")
_FIND = text("""
    SELECT j.id FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE j.id = :word OR (b.name = :batch AND j.key = :key) OR j.id LIKE :prefix
    ORDER BY (j.id = :word) DESC, j.seq DESC LIMIT 2
""")
_BY_KEY = text("SELECT id FROM jobs WHERE batch_id > 0 AND key = :key ORDER BY seq DESC LIMIT 2")
_ATTEMPTS = text("""
    SELECT id AS reference, number, account, operation, state, reason, error, handle, send_count, cost, created_at,
        sent_at, accepted_at, finished_at, next_poll_at, deadline_at, callback_at, polls
    FROM attempts WHERE job_id = :id ORDER BY number
""")
_RESULTS = text("""
    SELECT r.index, r.key, r.sha256, r.size, r.media_type, r.width, r.height, r.facts, r.created_at, a.number AS attempt
    FROM results r JOIN attempts a ON a.id = r.attempt_id WHERE r.job_id = :id ORDER BY a.number, r.index
""")


@dataclass(frozen=True, slots=True)
class Story:
    """A job with everything that was tried for it and what came out. The mappings are by column."""

    job: Mapping[str, Any]
    attempts: tuple[Mapping[str, Any], ...]
    results: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which jobs are listed; None matches all."""

    batch: str | None = None
    state: str | None = None
    account: str | None = None
    operation: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A job in a list; account and operation are those of its latest attempt, or what was asked for."""

    id: str
    batch: str
    key: str | None
    kind: str
    state: str
    reason: str | None
    error: str | None
    account: str | None
    operation: str | None
    created_at: datetime
    finished_at: datetime | None


def tell(session: Session, word: str, storage: Storage) -> Story:
    """The story of the job that `word` means: its id, the beginning of it, a key, or ``BATCH/KEY``.

    Raises:
        UnknownJobError: it means none, or several.
    """
    job_id = _id_of(session, word)
    job = session.execute(_STORY, {"id": job_id}).one()._mapping
    attempts = tuple(dict(row._mapping) for row in session.execute(_ATTEMPTS, {"id": job_id}))
    results = tuple({**row._mapping, "uri": storage.url(row.key)} for row in session.execute(_RESULTS, {"id": job_id}))
    return Story(dict(job), attempts, results)


def listed(session: Session, which: Filter, limit: int) -> list[Listed]:
    """The latest jobs that fit, newest first."""
    conditions = {
        "b.name = :batch": which.batch,
        "j.state = :state": which.state,
        "j.reason = :reason": which.reason,
        "coalesce(last.account, j.account) = :account": which.account,
        "coalesce(last.operation, j.operation) = :operation": which.operation,
    }
    wanted = " AND ".join(condition for condition, value in conditions.items() if value is not None) or "true"
    rows = session.execute(
        text(f"""
            SELECT j.id, b.name AS batch, j.key, j.kind, j.state, j.reason, j.error, j.created_at, j.finished_at,
                coalesce(last.account, j.account) AS account, coalesce(last.operation, j.operation) AS operation
            FROM jobs j JOIN batches b ON b.id = j.batch_id LEFT JOIN LATERAL (
                SELECT account, operation FROM attempts WHERE job_id = j.id ORDER BY number DESC LIMIT 1
            ) last ON true
            WHERE {wanted} ORDER BY j.seq DESC LIMIT :limit
        """),  # noqa: S608 - `wanted` is made of the conditions above
        {
            "batch": which.batch, "state": which.state, "reason": which.reason, "account": which.account,
            "operation": which.operation, "limit": limit,
        },
    )  # fmt: skip
    return [Listed(**row._mapping) for row in rows]


def _id_of(session: Session, word: str) -> str:
    batch, _, key = word.rpartition("/")
    prefix = _literal(word) + ("%" if len(word) >= MIN_PREFIX else "")
    parameters = {"word": word, "batch": batch, "key": key, "prefix": prefix}
    found = session.execute(_FIND, parameters).scalars().all()
    if word in found:
        return word
    found = found or session.execute(_BY_KEY, {"key": word}).scalars().all()
    if len(found) != 1:
        raise UnknownJobError(word, several=bool(found))
    return str(found[0])


def _literal(word: str) -> str:
    """`word` for LIKE, which shall take none of its characters for a pattern."""
    return word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
