"""One job as the desk shows it: all its pictures with their newest verdicts, and its neighbors in the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.walks import beside
from models.fragments import checks_of, columns, finished_attempt, last_attempt, newest_verdict, paid_for
from models.jobs import ROLES
from reports.grid import Place, from_key
from reports.grid_filter import GridFilter

NEIGHBORS = 5  # on each side, which a browser loads ahead

_JOB = text(f"""
    SELECT j.id, j.seq, j.key, j.kind, j.state, {columns((*ROLES, "prompt"), "j")}, w.chosen,
        coalesce(w.verdict, 'unreviewed') AS verdict, coalesce(paid.cost, 0) AS cost, last.account, last.operation,
        (SELECT coalesce(v.error, v.reason, v.state) FROM versions v JOIN redos r USING (job_id, version)
            WHERE v.job_id = j.id AND v.version = j.version - 1 AND j.kept_attempt IS NOT NULL
                AND j.state = 'succeeded') AS redo_failed
    FROM jobs j LEFT JOIN reviews w ON w.job_id = j.id
    LEFT JOIN LATERAL {last_attempt("j.id", "account, operation")} last ON true
    LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
    WHERE j.id = :job_id AND j.batch_id = :batch_id
""")
_PICTURES = text(f"""
    SELECT r.id, r.index, r.width, r.height, a.number AS attempt,
        r.attempt_id IS NOT DISTINCT FROM {finished_attempt("r.job_id")} AS present,
        coalesce(v.id, 0) AS verdict_id, coalesce(v.verdict, 'unreviewed') AS verdict, v.person, v.at,
        coalesce(v.reasons, '[]'::jsonb) AS reasons, v.note, v.area,
        {checks_of("r.id")} AS checks,
        (SELECT min(version) FROM versions WHERE versions.job_id = r.job_id AND last_attempt >= a.number) AS former
    FROM results r JOIN attempts a ON a.id = r.attempt_id
    LEFT JOIN LATERAL {newest_verdict("r.id", "id, verdict, person, at, reasons, note, area")} v ON true
    WHERE r.job_id = :job_id ORDER BY a.number DESC, r.index
""")
_HISTORY = text("""
    SELECT result_id, person, verdict, reasons, note, area, at, undoes FROM verdicts WHERE job_id = :job_id
    ORDER BY id DESC LIMIT 50
""")


@dataclass(frozen=True, slots=True)
class Picture:
    """A result with its newest verdict."""

    id: int
    index: int
    width: int
    height: int
    #: The number of the attempt that made it.
    attempt: int
    #: Whether it belongs to the present version of the job.
    present: bool
    verdict_id: int
    verdict: str
    person: str | None
    at: datetime | None
    reasons: Sequence[str]
    note: str | None
    area: dict[str, float] | None
    #: What was measured, the worst first: name, score, threshold, flagged.
    checks: Sequence[Mapping[str, Any]] = ()
    #: The former version of the job that it was made for; None for the present one.
    former: int | None = None


@dataclass(frozen=True, slots=True)
class Loupe:
    """A job whose pictures a person looks at."""

    id: str
    seq: int
    key: str | None
    kind: str
    state: str
    source: str | None
    target: str | None
    image: str | None
    prompt: str | None
    #: The picture that is used.
    chosen: int | None
    verdict: str
    cost: Decimal
    account: str | None
    operation: str | None
    #: Why nothing came of the last redo, if nothing did.
    redo_failed: str | None
    pictures: Sequence[Picture]
    #: What was said of its pictures, newest first.
    history: Sequence[Any]

    @property
    def before(self) -> str | None:
        """The role of the input picture that the job changes."""
        return "target" if self.target else "image" if self.image else None

    def shown(self, picture_id: int | None = None) -> Picture | None:
        """The picture that is asked for; or the one that is used, or else the first of the present version."""
        for wanted in (picture_id, self.chosen):
            for picture in self.pictures:
                if picture.id == wanted:
                    return picture
        return next((each for each in self.pictures if each.present), next(iter(self.pictures), None))


@dataclass(frozen=True, slots=True)
class Neighbor:
    """A job near another one in its batch."""

    job_id: str
    undecided: bool
    #: Whether another person has it open.
    taken: bool


@dataclass(frozen=True, slots=True)
class Neighbors:
    """The jobs on both sides of another one, in the order of the walk."""

    before: Sequence[Neighbor]
    after: Sequence[Neighbor]


def loupe(session: Session, batch_id: int, job_id: str) -> Loupe | None:
    """A job of the batch; None where it has no such job."""
    row = session.execute(_JOB, {"job_id": job_id, "batch_id": batch_id}).first()
    if row is None:
        return None
    pictures = [Picture(**each._mapping) for each in session.execute(_PICTURES, {"job_id": job_id})]
    history = session.execute(_HISTORY, {"job_id": job_id}).all()
    return Loupe(**row._mapping, pictures=pictures, history=history)


def job_by_key(session: Session, batch_id: int, key: str) -> str | None:
    """The first job of a batch whose key is, or begins with, `key`; None where there is none."""
    row = from_key(session, batch_id, key)
    return str(row.id) if row is not None and row.key.startswith(key) else None


def neighbors(
    session: Session, batch_id: int, shown: GridFilter, place: Place | None, person: str, number: int = NEIGHBORS
) -> Neighbors:
    """The jobs beside a place of a walk through a batch."""
    before, after = (
        [Neighbor(**row._mapping) for row in beside(session, batch_id, shown, place, person, number, forward=forward)]
        for forward in (False, True)
    )
    return Neighbors(before, after)
