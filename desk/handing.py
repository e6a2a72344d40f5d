"""What is handed to whom: a picture that one person has open is shown as taken, and others are handed other ones."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.walks import Order, candidates
from models.fragments import seconds_from_now
from models.people import Role
from reports.cards import UNDECIDED

TAKEN_SECONDS = 120.0  # an open picture; a page that is still looked at says so again before
CANDIDATES = 3  # looked at together: rarely more people look for their next picture at one moment
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
    seq: int


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
    session: Session, actor: Actor, batch_id: int, after: int = -1, order: Order = Order.CATALOG
) -> Handed | None:
    """Take the next job of a batch that nobody has decided or has open; None if there is none.

    Args:
        session: a transaction.
        actor: who is handed it.
        batch_id: the batch.
        after: the place in the batch from which to look; the search begins anew at the end.
        order: the order in which they come.

    Raises:
        ForbiddenError: the person may not judge.
    """
    actor.need(Role.REVIEWER, "review a batch", guests=True)
    for _ in range(ROUNDS):
        seen = False
        for start in dict.fromkeys((after, -1)):
            for row in candidates(session, batch_id, start, actor.name, order, CANDIDATES):
                seen = True
                if _taken(session, actor, row.id) is None:
                    continue
                # It may have been decided between the look and the claim.
                if session.execute(_IS_UNDECIDED, {"job_id": row.id}).scalar_one():
                    session.execute(_LEAVE, {"person": actor.name, "job_id": row.id})
                    return Handed(row.id, row.seq)
        if not seen:
            return None
    return None


def _taken(session: Session, actor: Actor, job_id: str) -> datetime | None:
    asked = {"job_id": job_id, "person": actor.name, "seconds": TAKEN_SECONDS}
    until: datetime | None = session.execute(_TAKE, asked).scalar()
    return until
