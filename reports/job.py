"""One job's whole story, and lists of jobs by what is known of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from catalog.errors import UnknownJobError
from workers.images.storage import Storage
from workers.jobs.filters import JOBS, LAST, Filter, Filtered

MIN_PREFIX = 6  # characters of an id: with fewer, too many ids fit

_STORY = text("SELECT j.*, b.name AS batch FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE j.id = :id")
_FIND = text("""
    SELECT j.id FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE j.id = :word OR (b.name = :batch AND j.key = :key) OR j.id LIKE :prefix
    ORDER BY (j.id = :word) DESC, j.seq DESC LIMIT 2
""")
_BY_KEY = text("SELECT id FROM jobs WHERE batch_id > 0 AND key = :key ORDER BY seq DESC LIMIT 2")
_ATTEMPTS = text("""
    SELECT id AS reference, number, account, operation, state, reason, error, handle, send_count, cost, passed_over,
        created_at,        sent_at, accepted_at, finished_at, next_poll_at, deadline_at, callback_at, polls
    FROM attempts WHERE job_id = :id ORDER BY number
""")
_VERSIONS = text("""
    SELECT version, last_attempt, kind, source, target, image, prompt, options, account, provider, operation, extra,
        state, reason, error, started_at, finished_at, replaced_at
    FROM versions WHERE job_id = :id ORDER BY version
""")
_RESULTS = text("""
    SELECT r.index, r.key, r.sha256, r.original_key, r.original_sha256, r.size, r.media_type, r.width, r.height,
        r.facts, r.created_at, a.number AS attempt
    FROM results r JOIN attempts a ON a.id = r.attempt_id WHERE r.job_id = :id ORDER BY a.number, r.index
""")


_LISTED = Filtered(
    lambda which: (
        f"""
        SELECT j.id, b.name AS batch, j.key, j.kind, j.state, j.reason, j.error, j.created_at, j.finished_at,
            coalesce(last.account, j.account) AS account, coalesce(last.operation, j.operation) AS operation
        FROM {JOBS} {LAST} WHERE {which.where} ORDER BY j.seq DESC LIMIT :limit
    """
    )
)


@dataclass(frozen=True, slots=True)
class Story:
    """A job with everything that was tried for it and what came out. The mappings are by column.

    `versions` are what was asked before the row was changed; an attempt, and each result, bears the `version` it was
    made for.
    """

    job: Mapping[str, Any]
    attempts: tuple[Mapping[str, Any], ...]
    results: tuple[Mapping[str, Any], ...]
    versions: tuple[Mapping[str, Any], ...] = ()


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
    job_id = job_id_of(session, word)
    job = session.execute(_STORY, {"id": job_id}).one()._mapping
    versions = tuple(dict(row._mapping) for row in session.execute(_VERSIONS, {"id": job_id}))

    def version(attempt: int) -> int:
        former = (found["version"] for found in versions if attempt <= found["last_attempt"])
        return int(next(former, job["version"]))

    attempts = tuple(
        {**row._mapping, "version": version(row.number)} for row in session.execute(_ATTEMPTS, {"id": job_id})
    )
    results = tuple(
        {**row._mapping, "version": version(row.attempt), "uri": storage.url(row.key)}
        for row in session.execute(_RESULTS, {"id": job_id})
    )
    return Story(dict(job), attempts, results, versions)


def listed(session: Session, which: Filter, limit: int) -> list[Listed]:
    """The latest jobs that fit, newest first."""
    return [Listed(**row._mapping) for row in _LISTED.execute(session, which, limit=limit)]


def job_id_of(session: Session, word: str) -> str:
    """The id of the job that `word` means: its id, the beginning of it, a key, or ``BATCH/KEY``.

    Raises:
        UnknownJobError: it means none, or several.
    """
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
