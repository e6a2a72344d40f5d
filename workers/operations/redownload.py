"""Another download of results that were paid for: nothing is submitted, so nothing is paid.

A failed job's latest paid attempt is looked at. Where its provider reported a result, the job is saved again, which
asks the provider for the result anew as often as the first time. Where none was reported before the deadline, the
provider is polled once more; a result that it names then is saved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import last_attempt
from models.states import JobState
from workers.engine.runtime import Runtime
from workers.engine.wake import poll_pump, store_pump, wake
from workers.jobs.filters import Filter, Filtered
from workers.jobs.transitions import move_alike
from workers.operations.bulk import in_chunks

_REPORTED = "state = 'done' AND jsonb_array_length(outputs) > 0"
_OVERDUE = "state = 'expired' AND handle IS NOT NULL"
#: Joined to the jobs `j`: their latest attempt that was paid for and whose result may still be had.
PAID = f"""JOIN LATERAL {
    last_attempt(
        "j.id",
        f"id, account, {_REPORTED} AS reported",
        f"number > j.former_attempts AND (({_REPORTED}) OR ({_OVERDUE}))",
    )
} paid ON true"""
FAILED = "j.state = 'failed' AND j.erased_at IS NULL"

_FOUND = Filtered(lambda which: f"SELECT j.id FROM {which.jobs} {PAID} WHERE {FAILED} AND {which.where} ORDER BY j.id")
_ATTEMPTS = text(f"""
    SELECT paid.id, j.id AS job_id, paid.account, paid.reported FROM jobs j {PAID} WHERE j.id = ANY(:ids) AND {FAILED}
""")
_FROM_THE_START = text("""
    UPDATE attempts SET refetches = 0 WHERE id IN (
        SELECT id FROM attempts WHERE id = ANY(cast(:ids AS uuid[])) AND state = 'done' ORDER BY id FOR UPDATE)
""")
_POLL_NOW = text("""
    UPDATE attempts SET next_poll_at = clock_timestamp() WHERE id IN (
        SELECT id FROM attempts WHERE id = ANY(cast(:ids AS uuid[])) AND state = 'expired' ORDER BY id FOR UPDATE)
""")


@dataclass(frozen=True, slots=True)
class Redownloaded:
    """How many jobs are saved again, and how many providers are polled for."""

    saving: int
    polled: int


def downloadable(session: Session, which: Filter) -> list[str]:
    """Failed jobs whose results can be downloaded again at no cost."""
    return list(_FOUND.execute(session, which).scalars())


def redownload(runtime: Runtime, ids: Sequence[str]) -> Redownloaded:
    """Download again what failed jobs were paid for; what has moved since is left alone."""
    done = list(in_chunks(runtime, ids, _redownload))
    wake(runtime, store_pump(), *map(poll_pump, sorted({account for _, accounts in done for account in accounts})))
    return Redownloaded(
        sum(each.saving for each, _ in done),
        sum(each.polled for each, _ in done),
    )


def _redownload(session: Session, ids: Sequence[str]) -> tuple[Redownloaded, set[str]]:
    rows = session.execute(_ATTEMPTS, {"ids": list(ids)}).all()
    reported = [row for row in rows if row.reported]
    overdue = [row for row in rows if not row.reported]
    session.execute(_FROM_THE_START, {"ids": [row.id for row in reported]})
    session.execute(_POLL_NOW, {"ids": [row.id for row in overdue]})
    moved = move_alike(session, [row.job_id for row in reported], JobState.SAVING, expected=[JobState.FAILED])
    return Redownloaded(len(moved), len(overdue)), {row.account for row in overdue}
