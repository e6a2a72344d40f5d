"""Pages of the results of a batch's jobs that have a picture, with the verdicts of people about them.

They can be those of jobs with a verdict, with a reason, or with a flag; what such jobs are found by are indexes, also
in a batch of a million.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.checks import ANY_CHECK
from models.fragments import finished_attempt, flags_of, has_picture, is_flag, newest_verdict
from models.states import JobState
from models.verdicts import Verdict
from reports.undecided import undecided

_SEEN = text("SELECT j.seq FROM jobs j JOIN results r ON r.job_id = j.id WHERE r.id = :after")
# The job of the last result may have more of them, so it is looked at again.
_FROM = "cast(:seq AS bigint) - 1"
_LIMIT = "cast(:limit AS bigint) + 1"
_HAS_RESULTS = "EXISTS (SELECT FROM results x WHERE x.job_id = j.id)"
# One short index scan for each state: there is no index of jobs with a picture, of which some are being redone.
_ALL = f"""
    SELECT found.id, found.seq FROM unnest(ARRAY[{", ".join(f"'{state}'" for state in JobState)}]) AS one(state)
    CROSS JOIN LATERAL (
        SELECT j.id, j.seq FROM jobs j
        WHERE j.batch_id = :batch_id AND j.state = one.state AND {has_picture("j")} AND j.seq > {_FROM}
            AND {_HAS_RESULTS}
        ORDER BY j.seq LIMIT {_LIMIT}
    ) found ORDER BY found.seq LIMIT {_LIMIT}
"""
_SAYS = """(cast(:reason AS text) IS NULL OR EXISTS (
    SELECT FROM verdicts said WHERE said.id = w.verdict_id AND said.reasons @> to_jsonb(cast(:reason AS text))))"""
_JUDGED = f"""
    SELECT w.job_id AS id, w.seq FROM reviews w JOIN jobs j ON j.id = w.job_id
    WHERE w.batch_id = :batch_id AND w.verdict = :verdict AND w.seq > {_FROM} AND {_SAYS} AND {_HAS_RESULTS}
    ORDER BY w.seq LIMIT {_LIMIT}
"""
_FLAGGED, _FLAGGED_AT_ALL = (
    f"""
    SELECT DISTINCT ON (checks.seq) checks.job_id AS id, checks.seq
    FROM checks LEFT JOIN reviews w ON w.job_id = checks.job_id
    WHERE checks.batch_id = :batch_id AND {is_flag()} AND {named} AND checks.seq > {_FROM}
        AND (cast(:verdict AS text) IS NULL OR coalesce(w.verdict, 'unreviewed') = :verdict) AND {_SAYS}
    ORDER BY checks.seq LIMIT {_LIMIT}
"""
    for named in ("checks.name = :check", "true")
)


def _page(jobs: str) -> str:
    return f"""
        SELECT r.id, r.job_id AS job, j.key, r.index, a.number AS attempt, r.sha256, r.size, r.media_type, r.width,
            r.height, r.created_at, r.attempt_id IS NOT DISTINCT FROM {finished_attempt("r.job_id")} AS present,
            w.chosen IS NOT DISTINCT FROM r.id AS chosen, {flags_of("r.id")} AS flags,
            coalesce(v.id, 0) AS verdict_id, coalesce(v.verdict, 'unreviewed') AS verdict,
            coalesce(v.reasons, '[]'::jsonb) AS reasons, v.note, v.person AS reviewer, v.at AS reviewed_at
        FROM ({jobs}) found JOIN jobs j ON j.id = found.id
        JOIN results r ON r.job_id = j.id JOIN attempts a ON a.id = r.attempt_id
        LEFT JOIN reviews w ON w.job_id = j.id
        LEFT JOIN LATERAL {newest_verdict("r.id", "id, verdict, reasons, note, person, at")} v ON true
        WHERE (j.seq, r.id) > (:seq, :after) ORDER BY j.seq, r.id LIMIT :limit
    """


_PAGE, _PAGE_JUDGED, _PAGE_FLAGGED, _PAGE_FLAGGED_AT_ALL = (
    text(_page(jobs)) for jobs in (_ALL, _JUDGED, _FLAGGED, _FLAGGED_AT_ALL)
)
_PAGE_UNDECIDED = text(_page(undecided(_HAS_RESULTS, after=_FROM, limit=f"({_LIMIT})")))


@dataclass(frozen=True, slots=True)
class ResultsFilter:
    """Of which jobs the results are wanted; None means of all."""

    #: What counts of people's verdicts about the job.
    verdict: Verdict | None = None
    #: A reason that the counting verdict gives; only those that need work have any.
    reason: str | None = None
    #: The name of a check, or `ANY_CHECK`.
    check: str | None = None


EVERY = ResultsFilter()


@dataclass(frozen=True, slots=True)
class ListedResult:
    """A stored picture, and what people say of it."""

    id: int
    #: The id and the key of its job.
    job: str
    key: str | None
    index: int
    #: The number of the attempt that made it.
    attempt: int
    sha256: str
    size: int
    media_type: str
    width: int
    height: int
    created_at: datetime
    #: Whether it belongs to the present version of its job.
    present: bool
    #: Whether it is the picture of its job that is used.
    chosen: bool
    #: The checks that flagged it, the worst first.
    flags: Sequence[str]
    #: The number of its newest verdict, which the next one is based on; 0 without one.
    verdict_id: int
    verdict: str
    reasons: Sequence[str]
    note: str | None
    reviewer: str | None
    reviewed_at: datetime | None


def page(
    session: Session, batch_id: int, limit: int, after: int = 0, wanted: ResultsFilter = EVERY
) -> list[ListedResult]:
    """Results of a batch in the order of its jobs, those behind the one with the number `after`."""
    seen = session.execute(_SEEN, {"after": after}).scalar() if after else None
    given = {"batch_id": batch_id, "after": after, "seq": -1 if seen is None else seen, "limit": limit}
    verdict = Verdict.NEEDS_WORK if wanted.reason is not None and wanted.verdict is None else wanted.verdict
    said = {"verdict": verdict and verdict.value, "reason": wanted.reason}
    if wanted.check == ANY_CHECK:
        rows = session.execute(_PAGE_FLAGGED_AT_ALL, {**given, **said})
    elif wanted.check is not None:
        rows = session.execute(_PAGE_FLAGGED, {**given, **said, "check": wanted.check})
    elif verdict is None:
        rows = session.execute(_PAGE, given)
    elif verdict is Verdict.UNREVIEWED:
        rows = session.execute(_PAGE_UNDECIDED, given)
    else:
        rows = session.execute(_PAGE_JUDGED, {**given, **said})
    return [ListedResult(**row._mapping) for row in rows]
