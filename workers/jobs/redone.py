"""The end of a redo from which no picture came: its job is what it was before, with the picture that it had.

A redo is a new version of its job, like a changed row of a catalog. But the picture that people have stays the job's
(`kept_attempt`) until there is another one. If the redo fails, is rejected or is canceled, it becomes a former version
itself, and the job one more version, which asks for what it asked before. Numbers of versions are never used twice:
a worker that still prepares the redo would take another one for it.

Not a transition of the state machine: the row is another version under the same id.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, is_paid, quoted, taken_from
from models.jobs import ASKED, ENDING
from models.states import OPEN_JOB_STATES, JobState

#: States in which a redo has failed.
WITHOUT_A_PICTURE = frozenset({JobState.FAILED, JobState.REJECTED, JobState.CANCELED})

#: What a redo may ask otherwise, and so what a job gets back.
_CHANGEABLE = ("options", "account", "provider", "operation")
# Both statements run on jobs whose rows their transaction has locked and moved.
_RESTORE = text(f"""
    WITH ending AS (
        SELECT j.*, greatest(former_attempts, (SELECT max(number) FROM attempts WHERE job_id = j.id)) AS made
        FROM jobs j WHERE j.id = ANY(:ids)
    ), kept AS (
        INSERT INTO versions (job_id, version, last_attempt, {columns((*ASKED, *ENDING))})
        SELECT id, version, made, {columns((*ASKED, *ENDING))} FROM ending
    )
    UPDATE jobs SET
        {taken_from("before", _CHANGEABLE)}, {taken_from("before", ENDING)}, lane = r.lane, not_before = NULL,
        version = jobs.version + 1, former_attempts = made
    FROM ending e JOIN redos r ON r.job_id = e.id AND r.version = e.version
        JOIN versions before ON before.job_id = e.id AND before.version = e.version - 1
    WHERE jobs.id = e.id
    RETURNING jobs.id
""")
_JUDGE_AS_BEFORE = text("""
    INSERT INTO reviews (job_id, batch_id, seq, verdict, verdict_id, chosen)
    SELECT j.id, j.batch_id, j.seq, r.verdict, v.id, c.id
    FROM jobs j JOIN redos r ON r.job_id = j.id AND r.version = j.version - 1
        LEFT JOIN verdicts v ON v.id = r.verdict_id LEFT JOIN results c ON c.id = r.chosen
    WHERE j.id = ANY(:ids) AND r.verdict IS NOT NULL AND (v.id IS NOT NULL OR r.verdict_id IS NULL)
    ON CONFLICT (job_id) DO NOTHING
""")


#: How a redo is made by itself because of a flag (`desk.redo_flagged`), where others say `page`, `command` and so on.
BY_CHECK = "check"


def spent_on(condition: str) -> str:
    """Statement for what the redos `r` of jobs `j` cost for which a condition holds.

    One that has ended counts with what was paid for it, one that is under way with the most that it may cost.
    """
    return f"""
        SELECT coalesce(sum(CASE
            WHEN j.version = r.version AND j.state IN ({quoted([*OPEN_JOB_STATES, JobState.HELD])}) THEN r.at_most
            ELSE coalesce((
                SELECT sum(cost) FROM attempts a LEFT JOIN versions v ON v.job_id = r.job_id AND v.version = r.version
                WHERE a.job_id = r.job_id AND a.number > r.after_attempt AND {is_paid("a")}
                    AND (v.last_attempt IS NULL OR a.number <= v.last_attempt)), 0) END), 0)
        FROM redos r JOIN jobs j ON j.id = r.job_id WHERE {condition}
    """


_SPENT_BY_CHECK = text(spent_on(f"r.via = '{BY_CHECK}' AND j.batch_id = :batch_id"))


def spent_by_check(session: Session, batch_id: int) -> Decimal:
    """What the redos of a batch's flagged pictures have cost, or may still cost."""
    return Decimal(session.execute(_SPENT_BY_CHECK, {"batch_id": batch_id}).scalar_one())


def restore(session: Session, job_ids: Sequence[str]) -> frozenset[str]:
    """Give these jobs back what they were before the redo that has just failed; those that got it back."""
    if not job_ids:
        return frozenset()
    restored = frozenset(session.execute(_RESTORE, {"ids": list(job_ids)}).scalars())
    session.execute(_JUDGE_AS_BEFORE, {"ids": sorted(restored)})
    return restored
