"""What producers get for jobs that succeeded: plain JSON, which `recast.results` reads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import finished_attempt
from models.states import JobState
from recast.money import Money
from workers.engine.runtime import Runtime

_ATTEMPTS = text(f"""
    SELECT j.id AS job_id, last.*
    FROM jobs j CROSS JOIN LATERAL
        {finished_attempt("j.id", "id, account, operation, cost, accepted_at, finished_at")} last
    WHERE j.id = ANY(:ids)
""")
_PICTURES = text("""
    SELECT attempt_id, index, key, thumbnail_key, sha256, original_sha256, size, media_type, width, height, facts
    FROM results WHERE attempt_id = ANY(:ids) ORDER BY attempt_id, index
""")


def results_of(session: Session, runtime: Runtime, job_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The results of jobs that succeeded, by id."""
    if not job_ids:
        return {}
    attempts = session.execute(_ATTEMPTS, {"ids": list(job_ids)}).all()
    pictures = defaultdict[UUID, list[dict[str, Any]]](list)
    for row in session.execute(_PICTURES, {"ids": [attempt.id for attempt in attempts]}):
        fields = dict(row._mapping)
        pictures[fields.pop("attempt_id")].append({**fields, "uri": runtime.storage.url(row.key)})
    return {
        attempt.job_id: {
            "job": attempt.job_id,
            "state": JobState.SUCCEEDED.value,
            "account": attempt.account,
            "operation": attempt.operation,
            "cost": Money(attempt.cost, runtime.settings.currency).document(),
            "seconds": _seconds(attempt.accepted_at, attempt.finished_at),
            "results": pictures[attempt.id],
        }
        for attempt in attempts
    }


def _seconds(start: datetime | None, end: datetime | None) -> float | None:
    return round((end - start).total_seconds(), 3) if start and end else None
