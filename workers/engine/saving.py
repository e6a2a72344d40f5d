"""Jobs in the state saving: claims, the record of what was stored, and postponements."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.fragments import CLAIMS, UNCLAIMS, carefully, claimable, last_attempt, seconds_from_now, since, until
from models.results import Provenance
from models.states import JobState
from workers.engine.leases import LEASE_SECONDS
from workers.images.headers import Picture
from workers.images.originals import Mark
from workers.jobs.transitions import clip, lock_jobs


@dataclass(frozen=True, slots=True)
class Saving:
    """A job whose pictures are to be fetched."""

    job_id: str
    kind: str
    attempt_id: uuid.UUID
    account: str
    operation: str
    #: The reference of the release of the person shown.
    consent: str | None
    outputs: Sequence[Mapping[str, Any]]
    #: How often the provider was asked for them anew.
    refetches: int
    #: How often in a row its claim ran out.
    lapses: int
    #: Seconds since the provider took the job.
    age: float


@dataclass(frozen=True, slots=True)
class Stored:
    """One picture in our storage, of a job's attempt."""

    job_id: str
    attempt_id: uuid.UUID
    index: int
    key: str
    sha256: str
    #: Of the file as the provider made it; its key, where it is kept beside ours; or where in ours the mark lies.
    original_sha256: str
    original_key: str | None
    mark: Mark | None
    provenance: Provenance | None
    source_type: str | None
    size: int
    picture: Picture
    facts: Mapping[str, Any]
    #: Whether it is to be checked; the same for all that are written together.
    to_check: bool = False


@dataclass(frozen=True, slots=True)
class Postponed:
    """A job that is not saved yet: in how many seconds it may be claimed again, and why."""

    job_id: str
    seconds: float
    error: str


_SAVING = "j.state = 'saving'"
_FREE = claimable("j", JobState.SAVING)
_OUTPUTS = "attempts.number > claimed.former_attempts AND state = 'done' AND outputs IS NOT NULL"
_FINISHED = last_attempt("claimed.id", "id, account, operation, outputs, refetches, accepted_at, sent_at", _OUTPUTS)
_CLAIM = text(f"""
    WITH chosen AS (
        SELECT id, claimed_until IS NOT NULL OR lapses > 0 AS lapsed FROM jobs j
        WHERE {_FREE} AND (:risky OR (claimed_until IS NULL AND lapses = 0))
        ORDER BY seq LIMIT :number FOR UPDATE SKIP LOCKED
    ), together AS (
        {carefully("chosen")}
    ), claimed AS (
        UPDATE jobs SET {CLAIMS}, claimed_until = {seconds_from_now(str(LEASE_SECONDS))}
        FROM together WHERE jobs.id = together.id RETURNING jobs.id, jobs.kind, jobs.former_attempts, jobs.lapses,
            jobs.extra ->> 'consent' AS consent
    )
    SELECT claimed.id AS job_id, claimed.kind, claimed.lapses, claimed.consent, last.id AS attempt_id, last.account,
        last.operation, last.outputs, last.refetches, {since("coalesce(last.accepted_at, last.sent_at)")} AS age
    FROM claimed JOIN LATERAL {_FINISHED} last ON true
""")
_WAITING_IN = text(f"""
    SELECT {until("min(coalesce(greatest(claimed_until, not_before), clock_timestamp()))")} FROM jobs j
    WHERE {_SAVING}
""")
_WAITS = text(f"SELECT EXISTS (SELECT 1 FROM jobs j WHERE {_FREE})")
_RESULTS = Bulk[Stored](
    job_id=("text", lambda stored: stored.job_id),
    attempt_id=("uuid", lambda stored: stored.attempt_id),
    index=("int", lambda stored: stored.index),
    key=("text", lambda stored: stored.key),
    sha256=("text", lambda stored: stored.sha256),
    original_key=("text", lambda stored: stored.original_key),
    original_sha256=("text", lambda stored: stored.original_sha256),
    mark_start=("int", lambda stored: stored.mark and stored.mark.start),
    mark_length=("int", lambda stored: stored.mark and stored.mark.length),
    provenance=("text", lambda stored: stored.provenance),
    source_type=("text", lambda stored: stored.source_type),
    size=("bigint", lambda stored: stored.size),
    media_type=("text", lambda stored: stored.picture.media_type),
    width=("int", lambda stored: stored.picture.width),
    height=("int", lambda stored: stored.picture.height),
    facts=("jsonb", lambda stored: json.dumps(stored.facts)),
)
_KEEP = text(f"""
    WITH kept AS (
        INSERT INTO results ({_RESULTS.names}) SELECT {_RESULTS.names} FROM {_RESULTS.table}
        ON CONFLICT (attempt_id, index) DO NOTHING RETURNING id
    )
    INSERT INTO due_checks (result_id) SELECT id FROM kept WHERE :to_check
""")

_WAITS_OF_JOBS = Bulk[Postponed](
    id=("text", lambda wait: wait.job_id),
    second=("float8", lambda wait: wait.seconds),
    error=("text", lambda wait: clip(wait.error)),
)
_POSTPONE = text(f"""
    UPDATE jobs j SET {UNCLAIMS}, not_before = {seconds_from_now("w.second")}, error = w.error
    FROM {_WAITS_OF_JOBS.table} WHERE j.id = w.id AND {_SAVING}
""")


def claim(session: Session, number: int, *, risky: bool = True) -> list[Saving]:
    """Claim up to `number` jobs to be saved, oldest first; `risky`: also one that a worker did not survive."""
    rows = session.execute(_CLAIM, {"number": number, "risky": risky})
    return [Saving(**row._mapping) for row in rows]


def next_claim_in(session: Session) -> float | None:
    """Seconds until a job can be claimed for saving (0: now), or None when none is to be saved."""
    seconds = session.execute(_WAITING_IN).scalar_one()
    return None if seconds is None else max(0.0, float(seconds))


def waits(session: Session) -> bool:
    """Whether a job can be claimed for saving now."""
    return bool(session.execute(_WAITS).scalar_one())


def write(session: Session, stored: Sequence[Stored], postponed: Sequence[Postponed], job_ids: Sequence[str]) -> None:
    """Keep the pictures that were stored, and let jobs wait that were not; all of `job_ids` are locked by it.

    Some of these jobs will be moved and some only wait, so all are locked first, in the one order.
    """
    lock_jobs(session, job_ids)
    if stored:
        session.execute(_KEEP, {**_RESULTS.of(stored), "to_check": stored[0].to_check})
    if postponed:
        session.execute(_POSTPONE, _WAITS_OF_JOBS.of(postponed))
