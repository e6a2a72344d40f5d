"""Verdicts: given, taken back and chosen among, by several people at once.

A verdict names the one that it was based on. If another person was faster, nothing is written and the second one is
asked. A verdict that is sent twice, because its answer was lost, is made once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.reviewed import IS_HEARD, announce
from desk.rules import Judged, chosen_after, deciding
from models.fragments import finished_attempt, newest_verdict, stands
from models.people import Role
from models.states import JobState
from models.verdicts import Verdict

ROUNDING = 0.0001  # of a browser's sums of fractions
MAX_NOTE_CHARS = 2_000  # a note is read beside a picture

_PICTURE = text("""
    SELECT r.id, r.job_id, j.batch_id, j.seq, j.state FROM results r JOIN jobs j ON j.id = r.job_id
    WHERE r.id = :id FOR KEY SHARE OF j
""")
# The second of two waits here, and then sees what the first one wrote.
_LOCK = text(f"""
    INSERT INTO reviews (job_id, batch_id, seq) VALUES (:job_id, :batch_id, :seq)
    ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq RETURNING chosen, verdict, {IS_HEARD} AS heard
""")
_JUDGED = text(f"""
    SELECT r.id AS result_id, r.attempt_id IS NOT DISTINCT FROM {finished_attempt("r.job_id")} AS present,
        coalesce(v.verdict, 'unreviewed') AS verdict, coalesce(v.id, 0) AS verdict_id, v.person, v.at
    FROM results r LEFT JOIN LATERAL {newest_verdict("r.id", "id, verdict, person, at")} v ON true
    WHERE r.job_id = :job_id ORDER BY r.id
""")
_REPEATED = text("SELECT id, result_id, job_id, person, at FROM verdicts WHERE request = :request")
_INSERT = text("""
    INSERT INTO verdicts (
        result_id, job_id, batch_id, person, role, verdict, reasons, note, area, undoes, request, at
    ) VALUES (:result_id, :job_id, :batch_id, :person, :role, :verdict, cast(:reasons AS jsonb), :note,
        cast(:area AS jsonb), :undoes, :request, clock_timestamp())
    RETURNING id, at
""")
_COUNTS = text("""
    UPDATE reviews SET verdict = :verdict, verdict_id = :verdict_id, chosen = :chosen WHERE job_id = :job_id
""")
_CHOSEN = text("SELECT chosen FROM reviews WHERE job_id = :job_id")
_RELEASE = text("DELETE FROM picture_claims WHERE job_id = :job_id AND person = :person")
_LAST = text(f"""
    SELECT id, result_id FROM verdicts v
    WHERE batch_id = :batch_id AND person = :person AND {stands("v")}
        AND (cast(:result_id AS bigint) IS NULL OR result_id = :result_id)
    ORDER BY id DESC LIMIT 1
""")
_STILL = text(f"SELECT {stands('v')} FROM verdicts v WHERE id = :id")
_OTHERS = text(f"""
    SELECT EXISTS (
        SELECT FROM verdicts v WHERE result_id = :result_id AND id > :id AND person <> :person AND {stands("v")}
    )
""")
_BEFORE = text("""
    SELECT verdict, reasons, note, area FROM verdicts WHERE result_id = :result_id AND id < :id ORDER BY id DESC LIMIT 1
""")


class DeskError(Exception):
    """Nothing was decided; the message says why and what is possible."""


class UnknownPictureError(DeskError):
    """There is no such picture: it never was, or was removed."""


class NotReadyError(DeskError):
    """The job has no finished picture now, so there is nothing to decide."""


class NothingToUndoError(DeskError):
    """There is no verdict of this person that could be taken back."""


class ConflictError(DeskError):
    """Another verdict came first; `current` is that one."""

    def __init__(self, current: Judged) -> None:
        super().__init__(
            f"{current.person or 'another person'} was faster: the picture is now {current.verdict.replace('_', ' ')}"
        )
        self.current = current


@dataclass(frozen=True, slots=True)
class Area:
    """A part of a picture, in fractions of its sides from the upper left corner."""

    x: float
    y: float
    width: float
    height: float

    def __post_init__(self) -> None:
        sides = (self.x, self.y, self.width, self.height, self.x + self.width, self.y + self.height)
        if not all(0 <= side <= 1 + ROUNDING for side in sides):
            given = ", ".join(f"{side:g}" for side in (self.x, self.y, self.width, self.height))
            raise DeskError(
                f"area: {given} is not possible; allowed: x, y, width and height as fractions of the picture, from 0 "
                "to 1, that end within it"
            )


@dataclass(frozen=True, slots=True)
class Decision:
    """A verdict with what a person says of it."""

    verdict: Verdict
    reasons: Sequence[str] = ()
    note: str | None = None
    area: Area | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A verdict that was written, and what counts for its job now."""

    verdict_id: int
    job_id: str
    result_id: int
    verdict: Verdict
    #: What counts for the job, and the picture of it that is used.
    job_verdict: Verdict
    chosen: int | None
    at: datetime


def judge(
    session: Session,
    actor: Actor,
    result_id: int,
    decision: Decision,
    *,
    based_on: int,
    known_reasons: Sequence[str],
    request: str | None = None,
) -> Decided:
    """Record what `actor` decides about a picture.

    Args:
        session: a transaction.
        actor: who decides.
        result_id: the picture.
        decision: the verdict, and what is said of it.
        based_on: the number of the picture's verdict that the person saw; 0 for none.
        known_reasons: the reasons that the deployment knows.
        request: the sender's name of this decision; the same name again changes nothing.

    Raises:
        ForbiddenError: the person may not judge.
        UnknownPictureError: the picture does not exist.
        NotReadyError: its job has no finished picture now.
        ConflictError: another verdict came first.
        DeskError: a reason is not in the list, or the note is too long.
    """
    actor.need(Role.REVIEWER, "give verdicts", guests=True)
    return _write(session, actor, result_id, checked(decision, known_reasons), based_on=based_on, request=request)


def undo(session: Session, actor: Actor, batch_id: int, result_id: int | None = None) -> Decided:
    """Take back the last verdict of `actor` in the batch, or about one picture. What was before it counts again.

    Raises:
        ForbiddenError: the person may not judge.
        NothingToUndoError: there is none, or it was taken back at the same moment.
        ConflictError: another person has judged the picture since.
    """
    actor.need(Role.REVIEWER, "take verdicts back", guests=True)
    mine = {"batch_id": batch_id, "person": actor.name, "result_id": result_id}
    taken = session.execute(_LAST, mine).first()
    if taken is None:
        raise NothingToUndoError("there is no verdict of yours to take back")
    picture, _ = _locked(session, actor, taken.result_id)
    if not session.execute(_STILL, {"id": taken.id}).scalar():
        raise NothingToUndoError("this verdict was taken back at the same moment")
    newest = _judged(session, picture.job_id)[taken.result_id]
    since = {"result_id": taken.result_id, "id": taken.id, "person": actor.name}
    if session.execute(_OTHERS, since).scalar_one():
        raise ConflictError(newest)
    decision = before(session.execute(_BEFORE, since).first())
    return _write(session, actor, taken.result_id, decision, based_on=newest.verdict_id, undoes=taken.id)


@dataclass(frozen=True, slots=True)
class JobReview:
    """What counts for a job now."""

    verdict: Verdict
    #: The picture that is used, if one was chosen.
    chosen: int | None
    #: The number of each picture's newest verdict; 0 where there is none.
    newest: Mapping[int, int]


def newest_of(session: Session, job_id: str) -> JobReview:
    """What counts for a job now."""
    chosen = session.execute(_CHOSEN, {"job_id": job_id}).scalar()
    judged = _judged(session, job_id)
    verdict, _ = deciding(list(judged.values()), chosen)
    return JobReview(verdict, chosen, {result: each.verdict_id for result, each in judged.items()})


def choose(session: Session, actor: Actor, result_id: int) -> Decided:
    """Make a picture the one of its job that is used; its own verdict then counts for the job.

    Raises:
        ForbiddenError: the person may not judge.
        UnknownPictureError, NotReadyError: as `judge`.
    """
    actor.need(Role.REVIEWER, "choose a picture", guests=True)
    picture, was = _locked(session, actor, result_id)
    judged = _judged(session, picture.job_id)
    this = judged[result_id]
    note(session, actor, "choose", f"job {picture.job_id}", result=result_id)
    decided = _count(session, picture.job_id, list(judged.values()), result_id, this)
    if was.chosen != result_id:
        _announce(session, picture, was, decided)
    return decided


def _write(
    session: Session,
    actor: Actor,
    result_id: int,
    decision: Decision,
    *,
    based_on: int,
    undoes: int | None = None,
    request: str | None = None,
) -> Decided:
    picture, was = _locked(session, actor, result_id)
    chosen, judged = was.chosen, _judged(session, picture.job_id)
    if request is not None and (done := session.execute(_REPEATED, {"request": request}).first()) is not None:
        if (done.result_id, done.person) != (result_id, actor.name):
            raise DeskError(f"request: {request!r} is the name of another decision; allowed: a new name")
        return _count(session, picture.job_id, list(judged.values()), chosen, judged[result_id])
    if judged[result_id].verdict_id != based_on:
        raise ConflictError(judged[result_id])
    area = None if decision.area is None else json.dumps(asdict(decision.area))
    row = session.execute(
        _INSERT,
        {
            "result_id": result_id, "job_id": picture.job_id, "batch_id": picture.batch_id, "person": actor.name,
            "role": actor.judges_as, "verdict": decision.verdict.value,
            "reasons": json.dumps(list(decision.reasons), ensure_ascii=False),
            "note": decision.note, "area": area, "undoes": undoes, "request": request,
        },
    ).one()  # fmt: skip
    this = Judged(result_id, judged[result_id].present, decision.verdict, row.id, actor.name, row.at)
    pictures = [*(other for other in judged.values() if other.result_id != result_id), this]
    session.execute(_RELEASE, {"job_id": picture.job_id, "person": actor.name})
    action = "undo" if undoes else "judge"
    note(
        session, actor, action, f"job {picture.job_id}", result=result_id, verdict=decision.verdict.value,
        reasons=list(decision.reasons),
    )  # fmt: skip
    decided = _count(session, picture.job_id, pictures, chosen_after(pictures, chosen, result_id), this)
    _announce(session, picture, was, decided)
    return decided


def _locked(session: Session, actor: Actor, result_id: int) -> tuple[Row[Any], Row[Any]]:
    """The picture with its job, whose review no other transaction changes now; and that review: `chosen`, `verdict`."""
    picture = session.execute(_PICTURE, {"id": result_id}).first()
    if picture is None or actor.guest_of not in {None, picture.batch_id}:
        raise UnknownPictureError("this picture does not exist or was removed")
    if picture.state != JobState.SUCCEEDED:
        raise NotReadyError(f"the job is {picture.state} now; a verdict is possible when it has succeeded")
    where = {"job_id": picture.job_id, "batch_id": picture.batch_id, "seq": picture.seq}
    return picture, session.execute(_LOCK, where).one()


def _judged(session: Session, job_id: str) -> Mapping[int, Judged]:
    rows = session.execute(_JUDGED, {"job_id": job_id})
    return {
        row.result_id: Judged(row.result_id, row.present, Verdict(row.verdict), row.verdict_id, row.person, row.at)
        for row in rows
    }


def _count(session: Session, job_id: str, pictures: list[Judged], chosen: int | None, this: Judged) -> Decided:
    verdict, verdict_id = deciding(pictures, chosen)
    counts = {"verdict": verdict.value, "verdict_id": verdict_id, "chosen": chosen, "job_id": job_id}
    session.execute(_COUNTS, counts)
    at = this.at or datetime.now().astimezone()
    return Decided(this.verdict_id, job_id, this.result_id, this.verdict, verdict, chosen, at)


def _announce(session: Session, picture: Row[Any], was: Row[Any], decided: Decided) -> None:
    if was.heard:
        newly = was.verdict == Verdict.UNREVIEWED and decided.job_verdict != Verdict.UNREVIEWED
        announce(session, picture.batch_id, [decided.result_id], picture.seq if newly else None)


def checked(decision: Decision, known: Sequence[str]) -> Decision:
    """A decision as it is written.

    Raises:
        DeskError: a reason is not in the list, or the note is too long.
    """
    unknown = [reason for reason in decision.reasons if reason not in known]
    if unknown:
        raise DeskError(f"reason: {unknown[0]!r} is not in the list; allowed: {', '.join(known)}")
    said = (decision.note or "").replace("\0", "").strip() or None
    if said is not None and len(said) > MAX_NOTE_CHARS:
        raise DeskError(f"note: it has {len(said):,} characters; allowed: up to {MAX_NOTE_CHARS:,}")
    wrong = decision.verdict is Verdict.NEEDS_WORK
    return Decision(
        decision.verdict,
        tuple(dict.fromkeys(decision.reasons)) if wrong else (),
        said,
        decision.area if wrong else None,
    )


def before(row: Row[Any] | None) -> Decision:
    """What counted before a verdict, of the row that was the newest then: nothing where there was none."""
    if row is None:
        return Decision(Verdict.UNREVIEWED)
    area = None if row.area is None else Area(**row.area)
    return Decision(Verdict(row.verdict), tuple(row.reasons), row.note, area)
