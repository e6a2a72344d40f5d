"""What is handed to whom: a picture that one person has open is shown as taken, and others are handed other ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.walks import free
from models.fragments import seconds_from_now
from models.people import Role
from reports.cards import UNDECIDED
from reports.grid import Place
from reports.grid_filter import GridFilter

TAKEN_SECONDS = 120.0  # an open picture; a page that is still looked at says so again before
CANDIDATES = 3  # looked at together: rarely more people look for their next picture at one moment
EVERY = GridFilter()
ROUNDS = 10  # of candidates that all were taken meanwhile, before "nothing left" is believed

# A claim that has run out belongs to nobody. One statement decides, so that two never both have it.
_TAKE = text(f"""
    INSERT INTO picture_claims (job_id, person, until)
    SELECT id, :person, {seconds_from_now(":seconds")} FROM jobs WHERE id = :job_id
    ON CONFLICT (job_id) DO UPDATE SET person = excluded.person, until = excluded.until
    WHERE picture_claims.person = excluded.person OR picture_claims.until < clock_timestamp()
    RETURNING until
""")
_TAKEN = text("""
    SELECT person, until FROM picture_claims WHERE job_id = :job_id AND until >= clock_timestamp()
""")
# A person looks at one picture. What another transaction holds just now runs out by itself.
_LEAVE = text("""
    DELETE FROM picture_claims WHERE job_id IN (
        SELECT job_id FROM picture_claims WHERE person = :person AND job_id <> :job_id FOR UPDATE SKIP LOCKED
    )
""")
_IS_UNDECIDED = text(f"SELECT {UNDECIDED} FROM jobs j WHERE j.id = :job_id")


@dataclass(frozen=True, slots=True)
class Taken:
    """Who has a job's pictures open, and until when."""

    person: str
    until: datetime
    #: Whether that is the person who asked.
    own: bool


@dataclass(frozen=True, slots=True)
class Handed:
    """The job that a person looks at next."""

    job_id: str
    place: Place


@dataclass(frozen=True, slots=True)
class Nothing:
    """Nothing was handed out; where the search stopped, if there is more to search."""

    stopped: Place | None = None


def take(session: Session, actor: Actor, job_id: str) -> Taken | None:
    """Open a job's pictures for `actor`, and leave those that were open before; None where there is no such job.

    If another person has them open, they stay theirs: `Taken.own` is False.

    Raises:
        ForbiddenError: the person may not judge.
    """
    actor.need(Role.REVIEWER, "take a picture", guests=True)
    until = _taken(session, actor, job_id)
    if until is not None:
        session.execute(_LEAVE, {"person": actor.name, "job_id": job_id})
        return Taken(actor.name, until, own=True)
    return taken_by(session, actor, job_id)


def taken_by(session: Session, actor: Actor, job_id: str) -> Taken | None:
    """Who has a job's pictures open now, if anybody has."""
    row = session.execute(_TAKEN, {"job_id": job_id}).first()
    return None if row is None else Taken(row.person, row.until, own=row.person == actor.name)


def next_undecided(
    session: Session, actor: Actor, batch_id: int, after: Place | None = None, shown: GridFilter = EVERY
) -> Handed | Nothing:
    """Take the next job of a walk through a batch that nobody has decided or has open.

    Args:
        session: a transaction.
        actor: who is handed it.
        batch_id: the batch.
        after: the place in the walk from which to look; the search begins anew at the end.
        shown: what is walked through.

    Raises:
        ForbiddenError: the person may not judge.
    """
    actor.need(Role.REVIEWER, "review a batch", guests=True)
    for _ in range(ROUNDS):
        seen = False
        for start in dict.fromkeys((after, None)):
            found = free(session, batch_id, shown, start, actor.name, CANDIDATES)
            if found.stopped is not None:
                return Nothing(found.stopped)
            for job_id, place in found.jobs:
                seen = True
                if _taken(session, actor, job_id) is None:
                    continue
                # It may have been decided between the look and the claim.
                if session.execute(_IS_UNDECIDED, {"job_id": job_id}).scalar_one():
                    session.execute(_LEAVE, {"person": actor.name, "job_id": job_id})
                    return Handed(job_id, place)
        if not seen:
            return Nothing()
    return Nothing()


def _taken(session: Session, actor: Actor, job_id: str) -> datetime | None:
    asked = {"job_id": job_id, "person": actor.name, "seconds": TAKEN_SECONDS}
    until: datetime | None = session.execute(_TAKE, asked).scalar()
    return until
