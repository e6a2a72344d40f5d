"""What people see and change of their own access: where they are signed in, and their password."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.passwords import fits, hashed
from desk.people import PersonError, digest_of
from models.transactions import Database

LISTED = 50  # sign-ins of one person that a page lists; nobody has as many browsers, but a program may sign in anew

_LIST = text("""
    SELECT o.digest, o.created_at, o.expires_at, o.digest = :mine AS is_this
    FROM sign_ins s JOIN sign_ins o ON o.person_id = s.person_id
    WHERE s.digest = :mine AND o.expires_at > clock_timestamp() ORDER BY is_this DESC, o.created_at DESC LIMIT :limit
""")
_END_OTHERS = text("""
    DELETE FROM sign_ins o USING sign_ins s
    WHERE s.digest = :mine AND o.person_id = s.person_id AND o.digest <> :mine
        AND (cast(:digest AS text) IS NULL OR o.digest = :digest) RETURNING o.digest
""")
_MINE = text("""
    SELECT p.id, p.name, p.password FROM sign_ins s JOIN people p ON p.id = s.person_id
    WHERE s.digest = :mine AND p.disabled_at IS NULL
""")
_CHANGE = text("""
    UPDATE people SET password = :new WHERE id = :id AND password = :old AND disabled_at IS NULL RETURNING id
""")


@dataclass(frozen=True, slots=True)
class OwnSignIn:
    """One browser in which a person is signed in; which one it is, is not kept."""

    #: What is kept of its cookie: it names the sign-in, and opens nothing.
    digest: str
    created_at: datetime
    expires_at: datetime
    #: Whether it is the one that asks.
    is_this: bool


def sign_ins(session: Session, token: str) -> Sequence[OwnSignIn]:
    """Where the owner of this cookie is signed in: here, then elsewhere, newest first.

    There are none for those who came without a password of their own.
    """
    rows = session.execute(_LIST, {"mine": digest_of(token), "limit": LISTED})
    return [OwnSignIn(**row._mapping) for row in rows]


def end_others(session: Session, actor: Actor, token: str, digest: str | None = None) -> None:
    """End the owner's other sign-ins, or the one with this digest; the one with this cookie stays."""
    ended = session.execute(_END_OTHERS, {"mine": digest_of(token), "digest": digest}).all()
    if ended:
        note(session, actor, "sign out", f"person {actor.name}", browsers=len(ended))


def change_password(database: Database, actor: Actor, token: str, current: str, new: str) -> bool:
    """Give the owner of this cookie another password, and end their other sign-ins; False if `current` is wrong.

    While passwords are compared, which takes long by intention, no connection is held. What changed meanwhile is looked
    at again: of a form that is sent twice, the second finds that the new password is the one that counts.

    Raises:
        PersonError: the owner has no password, or is disabled.
        PasswordError: the new one is not usable.
    """
    while True:
        row = database.db(_mine, token)
        if row is None:
            raise PersonError(f"{actor.name} has no password here")
        kept = row.password
        if not fits(new, kept):
            if not fits(current, kept):
                return False
            kept = hashed(new)
        if database.db(_change, actor, row, token, kept):
            return True


def _mine(session: Session, token: str) -> Row[Any] | None:
    return session.execute(_MINE, {"mine": digest_of(token)}).first()


def _change(session: Session, actor: Actor, row: Row[Any], token: str, kept: str) -> bool:
    """Keep a password instead of the one that was looked at; False if that one does not count any more."""
    if session.execute(_CHANGE, {"id": row.id, "old": row.password, "new": kept}).first() is None:
        return False
    if kept != row.password:
        note(session, actor, "people password", f"person {row.name}")
    end_others(session, actor, token)
    return True
