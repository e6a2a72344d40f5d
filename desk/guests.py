"""Guest links: one batch for people without an account, for a while, to look at or to review.

A link is shown once. Only the digests of links, and of the cookies of those who opened one, are kept.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from unicodedata import normalize

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.people import MAX_NAME_CHARS, TOKEN_BYTES, digest_of
from models.fragments import seconds_from_now, until
from models.people import GUEST_ROLES, Role
from recast.hints import hint
from recast.values import unseen
from reports.batch import find

LONGEST_SECONDS = 365 * 24 * 3600.0  # a link that nobody remembers opens nothing in the end
SUFFIX = "guest"  # beside the name of each, so that nobody takes a guest for a person of the same name
MOST_VISITS = 100  # names given by one link: more is not a round of people who were sent it

_OPEN = "g.revoked_at IS NULL AND g.expires_at > clock_timestamp()"
_ADD = text(f"""
    INSERT INTO guests (batch_id, role, digest, expires_at)
    VALUES (:batch_id, :role, :digest, {seconds_from_now(":seconds")}) RETURNING id, expires_at
""")
_LIST = text("""
    SELECT g.id AS number, b.name AS batch, g.batch_id, g.role, g.created_at, g.expires_at, g.revoked_at,
        g.expires_at < clock_timestamp() AS expired,
        ARRAY(SELECT v.name FROM visits v WHERE v.guest_id = g.id ORDER BY v.created_at, v.name) AS names
    FROM guests g JOIN batches b ON b.id = g.batch_id
    WHERE cast(:batch AS text) IS NULL OR b.name = :batch ORDER BY g.id DESC
""")
_REVOKE = text("""
    UPDATE guests g SET revoked_at = clock_timestamp() FROM batches b
    WHERE g.id = :number AND b.id = g.batch_id AND g.revoked_at IS NULL RETURNING b.name
""")
_ANY = text(f"SELECT EXISTS (SELECT FROM guests g WHERE {_OPEN})")
_LINK = text(f"""
    SELECT g.id, g.batch_id, b.name AS batch, g.role, {until("g.expires_at")} AS seconds
    FROM guests g JOIN batches b ON b.id = g.batch_id WHERE g.digest = :digest AND {_OPEN}
""")
# Of two who give the same name at once, the second waits here, and is then another one; also where each came by a link
# of their own, because names are those of a batch.
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('guests of:' || :batch_id, 0))")
# Revoked while this one waited, it opens nothing; from here on, a revocation waits.
_LOCK = text(f"SELECT g.id FROM guests g WHERE g.id = :id AND {_OPEN} FOR UPDATE")
_NAMES = text("""
    SELECT v.name FROM visits v JOIN guests g ON g.id = v.guest_id WHERE g.batch_id = :batch_id
    UNION SELECT person FROM verdicts WHERE batch_id = :batch_id AND person LIKE '%)'
""")
_VISITS = text("SELECT count(*) FROM visits WHERE guest_id = :id")
_ENTER = text("INSERT INTO visits (digest, guest_id, name) VALUES (:digest, :id, :name)")
_WHO = text(f"""
    SELECT v.name, g.role, g.batch_id FROM visits v JOIN guests g ON g.id = v.guest_id
    WHERE v.digest = :digest AND {_OPEN}
""")
_LEAVE = text("DELETE FROM visits WHERE digest = :digest")
_BATCH_OF_RESULT = text("SELECT j.batch_id FROM results r JOIN jobs j ON j.id = r.job_id WHERE r.id = :id")
_BATCH_OF_JOB = text("SELECT batch_id FROM jobs WHERE id = :id")


class GuestError(Exception):
    """The link cannot be added or found, or nobody can enter by it so; the message says why."""


@dataclass(frozen=True, slots=True)
class ListedLink:
    """A link without its secret, and who came by it."""

    number: int
    batch: str
    batch_id: int
    role: str
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    expired: bool
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Link:
    """A link that opens a batch."""

    id: int
    batch_id: int
    batch: str
    role: str
    #: Until it expires.
    seconds: float


@dataclass(frozen=True, slots=True)
class Added:
    """A link that was just made; its token cannot be read again."""

    number: int
    token: str
    expires_at: datetime


def add(session: Session, actor: Actor, batch: str, role: Role, seconds: float) -> Added:
    """Make a link to a batch.

    Raises:
        ForbiddenError: `actor` is not an operator.
        UnknownBatchError: there is no such batch.
        GuestError: no guest may have the role, or the link would last too long.
    """
    actor.need(Role.OPERATOR, "add guest links")
    if role not in GUEST_ROLES:
        raise GuestError(f"role: {role} is not for guests; allowed: {', '.join(GUEST_ROLES)}")
    if not 0 < seconds <= LONGEST_SECONDS:
        most = f"{LONGEST_SECONDS / 86_400:.0f}d at most"
        raise GuestError(f"expires: {seconds:,.0f} s is not possible; allowed: more than 0 s, and {most}")
    token = secrets.token_urlsafe(TOKEN_BYTES)
    values = {"batch_id": find(session, batch).id, "role": role.value, "digest": digest_of(token), "seconds": seconds}
    row = session.execute(_ADD, values).one()
    note(
        session, actor, "guests add", f"batch {batch}", link=row.id, role=role.value, expires=row.expires_at.isoformat()
    )
    return Added(row.id, token, row.expires_at)


def everything(session: Session, batch: str | None = None) -> Sequence[ListedLink]:
    """All links, the newest first; of one batch, if one is named."""
    return [ListedLink(**row._mapping) for row in session.execute(_LIST, {"batch": batch})]


def revoke(session: Session, actor: Actor, number: int) -> str:
    """Let a link open nothing any more, for those who came by it, too, from the next request on; names its batch.

    Raises:
        ForbiddenError: `actor` is not an operator.
        GuestError: there is no such link, or it was revoked before.
    """
    actor.need(Role.OPERATOR, "revoke guest links")
    batch: str | None = session.execute(_REVOKE, {"number": number}).scalar()
    if batch is None:
        raise GuestError(f"number: there is no guest link {number} in force; {hint('guests list')} shows all")
    note(session, actor, "guests revoke", f"batch {batch}", link=number)
    return batch


def are_any(session: Session) -> bool:
    """Whether any link is in force."""
    return bool(session.execute(_ANY).scalar_one())


def opened(session: Session, token: str) -> Link | None:
    """What a link opens; None where there is no such link, or it has expired or was revoked."""
    row = session.execute(_LINK, {"digest": digest_of(token)}).first()
    return None if row is None else Link(**row._mapping)


def enter(session: Session, token: str, name: str) -> str:
    """The value of a cookie for a guest who has given a name.

    Raises:
        GuestError: the link opens nothing, the name is not usable, or too many came before.
    """
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARS or unseen(name):
        raise GuestError(f"name: {name[:MAX_NAME_CHARS]!r} is not usable; allowed: 1 to {MAX_NAME_CHARS} visible signs")
    link = opened(session, token)
    if link is not None:
        session.execute(_ONE_AT_A_TIME, {"batch_id": link.batch_id})
    if link is None or session.execute(_LOCK, {"id": link.id}).first() is None:
        raise GuestError("this link opens nothing any more; ask for another one")
    if session.execute(_VISITS, {"id": link.id}).scalar_one() >= MOST_VISITS:
        raise GuestError(f"{MOST_VISITS} guests came by this link; ask for another one")
    taken = {_alike(each) for each in session.execute(_NAMES, {"batch_id": link.batch_id}).scalars()}
    known = _free(name, taken)
    cookie = secrets.token_urlsafe(TOKEN_BYTES)
    session.execute(_ENTER, {"digest": digest_of(cookie), "id": link.id, "name": known})
    actor = Actor(known, Role(link.role), "guest", link.batch_id)
    note(session, actor, "guests enter", f"batch {link.batch}", link=link.id)
    return cookie


def who(session: Session, cookie: str) -> Actor | None:
    """The guest with this cookie; None where there is none, or the link has expired or was revoked."""
    row = session.execute(_WHO, {"digest": digest_of(cookie)}).first()
    return None if row is None else Actor(row.name, Role(row.role), "guest", row.batch_id)


def leave(session: Session, cookie: str) -> None:
    """End a visit: its cookie opens nothing any more."""
    session.execute(_LEAVE, {"digest": digest_of(cookie)})


def batch_of_result(session: Session, result_id: int) -> int | None:
    """The batch that a picture is of."""
    batch_id: int | None = session.execute(_BATCH_OF_RESULT, {"id": result_id}).scalar()
    return batch_id


def batch_of_job(session: Session, job_id: str) -> int | None:
    """The batch that a job is of."""
    batch_id: int | None = session.execute(_BATCH_OF_JOB, {"id": job_id}).scalar()
    return batch_id


def _free(name: str, taken: set[str]) -> str:
    """The name as it stands beside verdicts: another guest of the batch has another one."""
    number = 1
    while True:
        known = f"{name} ({SUFFIX}{f' {number}' if number > 1 else ''})"
        if _alike(known) not in taken:
            return known
        number += 1


def _alike(name: str) -> str:
    """What names have in common that people take for one: accents come as signs of their own, or with their letters."""
    return normalize("NFC", name.casefold())
