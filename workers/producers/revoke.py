"""Revocation of jobs: `app.control.revoke(id)` also reaches jobs that have left the broker.

Queued: canceled, and its task marked as revoked. Paid and running: left to finish, unless `terminate` is requested;
then it is canceled and its attempt is still polled, for the books. A job that other tasks also wait for continues for
them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import JobState, Reason
from workers.engine.runtime import Runtime
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs
from workers.messaging.publish import announce

_WAITERS = text("""
    SELECT mine.job_id FROM announcements mine
    WHERE mine.task_id = ANY(:ids) AND NOT EXISTS (
        SELECT 1 FROM announcements other
        WHERE other.job_id = mine.job_id AND other.announced_at IS NULL AND NOT other.task_id = ANY(:ids)
    )
""")
# A stamp is one value or several; a command line gives text.
_STAMPED = text("""
    SELECT task_id FROM (
        SELECT task_id, canvas::jsonb -> 'stamps' -> CAST(:header AS text) AS stamps
        FROM announcements WHERE announced_at IS NULL
    ) found
    WHERE EXISTS (
        SELECT 1 FROM jsonb_array_elements_text(
            CASE jsonb_typeof(stamps) WHEN 'array' THEN stamps ELSE jsonb_build_array(stamps) END
        ) AS stamp WHERE stamp = ANY(:stamps)
    )
    ORDER BY task_id
""")


def revoke_stamped(runtime: Runtime, headers: Mapping[str, Any], *, terminate: bool) -> list[str]:
    """Revoke the tasks that have any of these stamps; returns the ids of the jobs that were canceled."""
    found = runtime.db(_stamped, headers)
    return revoke_tasks(runtime, found, terminate=terminate) if found else []


def _stamped(session: Session, headers: Mapping[str, Any]) -> list[str]:
    found: dict[str, None] = {}
    for header, given in headers.items():
        stamps = [str(each) for each in (given if isinstance(given, list | tuple | set) else [given])]
        found |= dict.fromkeys(session.execute(_STAMPED, {"header": header, "stamps": stamps}).scalars())
    return list(found)


def revoke_tasks(runtime: Runtime, task_ids: Sequence[str], *, terminate: bool) -> list[str]:
    """Cancel the jobs that only these tasks wait for; returns the ids of those that were canceled."""
    canceled = runtime.db(_cancel, list(task_ids), terminate)
    announce(tuple(canceled))
    return canceled


def _cancel(session: Session, task_ids: list[str], terminate: bool) -> list[str]:
    states = {JobState.QUEUED, JobState.RUNNING, JobState.HELD} if terminate else {JobState.QUEUED}
    jobs = session.execute(_WAITERS, {"ids": task_ids}).scalars().all()
    moves = [
        JobMove(job_id, JobState.CANCELED, Reason.CANCELED, "revoked", frozenset(states))
        for job_id in sorted(set(jobs))
    ]
    return [move.job_id for move in move_jobs(session, moves)]
