"""People: added, listed, disabled, given another role or password; and their being signed in."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from desk.actors import Actor, ForbiddenError
from desk.audit import note
from desk.passwords import fits, hashed
from models.fragments import seconds_from_now
from models.people import Role
from models.transactions import Database
from recast.hints import hint
from recast.values import unseen

SIGN_IN_SECONDS = 7 * 24 * 3600.0  # then the password is asked for again
TOKEN_BYTES = 32  # of a cookie: nobody guesses it
MAX_NAME_CHARS = 80  # a name stands beside a verdict

#: How those are named who are not people.
_OF_OTHERS = re.compile(r"token .*|.*\(guest\)|checks", re.IGNORECASE)

_ADD = text("INSERT INTO people (name, role, password) VALUES (:name, :role, :password)")
_LIST = text("""
    SELECT name, role, created_at, disabled_at,
        (SELECT count(*) FROM sign_ins s WHERE s.person_id = p.id AND s.expires_at > clock_timestamp()) AS signed_in
    FROM people p ORDER BY lower(name)
""")
_FIND = text("SELECT id, name, role, password, disabled_at FROM people WHERE lower(name) = lower(:name)")
_ANY = text("SELECT EXISTS (SELECT FROM people)")
_DISABLE = text("""
    UPDATE people SET disabled_at = CASE WHEN :disabled THEN coalesce(disabled_at, clock_timestamp()) END WHERE id = :id
""")
_PASSWORD = text("UPDATE people SET password = :password WHERE id = :id")
_ROLE = text("UPDATE people SET role = :role WHERE id = :id")
# Locked, so that it waits for a change of the password, or comes before it and is ended by it.
_SIGN_IN = text(f"""
    INSERT INTO sign_ins (digest, person_id, expires_at)
    SELECT :digest, id, {seconds_from_now(":seconds")} FROM people
    WHERE id = :id AND disabled_at IS NULL AND password = :password FOR SHARE RETURNING digest
""")
_EXPIRED = text("DELETE FROM sign_ins WHERE expires_at < clock_timestamp()")
_SIGN_OUT = text("DELETE FROM sign_ins WHERE digest = :digest")
_SIGN_OUT_ALL = text("DELETE FROM sign_ins WHERE person_id = :id")
_WHO = text("""
    SELECT p.name, p.role FROM sign_ins s JOIN people p ON p.id = s.person_id
    WHERE s.digest = :digest AND s.expires_at > clock_timestamp() AND p.disabled_at IS NULL
""")


class PersonError(Exception):
    """The person cannot be added, found or changed; the message says why."""


@dataclass(frozen=True, slots=True)
class ListedPerson:
    """A person, and in how many browsers they are signed in."""

    name: str
    role: str
    created_at: datetime
    disabled_at: datetime | None
    signed_in: int


def add(session: Session, actor: Actor, name: str, role: Role, password: str) -> None:
    """Add a person.

    Raises:
        ForbiddenError: `actor` is not an operator.
        PersonError: the name is taken or not usable.
        PasswordError: the password is not usable.
    """
    actor.need(Role.OPERATOR, "add people")
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARS or unseen(name) or _OF_OTHERS.fullmatch(name):
        raise PersonError(
            f"name: {name[:MAX_NAME_CHARS]!r} is not usable; allowed: 1 to {MAX_NAME_CHARS} visible signs, but not "
            "like the names of guests and programs: 'Gina (guest)', 'token shop', 'checks'"
        )
    kept = hashed(password)
    try:
        with session.begin_nested():
            session.execute(_ADD, {"name": name, "role": role.value, "password": kept})
    except IntegrityError:
        raise PersonError(f"name: {name!r} is taken; {hint('people list')} shows everybody") from None
    note(session, actor, "people add", f"person {name}", role=role.value)


def everybody(session: Session) -> Sequence[ListedPerson]:
    """All people, by name."""
    return [ListedPerson(**row._mapping) for row in session.execute(_LIST)]


def are_any(session: Session) -> bool:
    """Whether there is anybody who could sign in."""
    return bool(session.execute(_ANY).scalar_one())


def disable(session: Session, actor: Actor, name: str, *, disabled: bool = True) -> None:
    """Keep a person out, at once and in every browser; or, with `disabled` False, let them in again.

    Raises:
        ForbiddenError: `actor` is not an operator.
        PersonError: there is no such person.
    """
    actor.need(Role.OPERATOR, "disable people")
    person_id = _found(session, name)
    session.execute(_DISABLE, {"id": person_id, "disabled": disabled})
    session.execute(_SIGN_OUT_ALL, {"id": person_id})
    note(session, actor, "people disable" if disabled else "people enable", f"person {name}")


def set_password(session: Session, actor: Actor, name: str, password: str) -> None:
    """Give a person another password; they sign in anew everywhere.

    Raises:
        ForbiddenError: `actor` is not an operator.
        PersonError: there is no such person.
        PasswordError: the password is not usable.
    """
    actor.need(Role.OPERATOR, "change passwords")
    person_id = _found(session, name)
    session.execute(_PASSWORD, {"id": person_id, "password": hashed(password)})
    session.execute(_SIGN_OUT_ALL, {"id": person_id})
    note(session, actor, "people password", f"person {name}")


def set_role(session: Session, actor: Actor, name: str, role: Role) -> None:
    """Give a person another role, in force with their next request.

    Raises:
        ForbiddenError: `actor` is not an operator.
        PersonError: there is no such person.
    """
    actor.need(Role.OPERATOR, "change roles")
    session.execute(_ROLE, {"id": _found(session, name), "role": role.value})
    note(session, actor, "people role", f"person {name}", role=role.value)


def sign_in(database: Database, name: str, password: str) -> str | None:
    """The value of a new sign-in's cookie; None if name or password is wrong, or the person disabled.

    While the password is compared, which takes long by intention, no connection is held.
    """
    row = database.db(_by_name, name) if "\0" not in name else None
    kept = row.password if row is not None and row.disabled_at is None else None
    if not fits(password, kept) or row is None:
        return None
    token = secrets.token_urlsafe(TOKEN_BYTES)
    return token if database.db(_begin, row, token) else None


def entered(session: Session, actor: Actor, by: str | None = None) -> None:
    """Record that a person has signed in; `by` what, if not by a password."""
    note(session, actor, "sign in", f"person {actor.name}", by=by)


def sign_out(session: Session, token: str) -> None:
    """End a sign-in: its cookie opens nothing any more."""
    session.execute(_SIGN_OUT, {"digest": digest_of(token)})


def who(session: Session, token: str) -> Actor | None:
    """Who is signed in with this cookie; None if it has expired or was ended, or the person is disabled."""
    row = session.execute(_WHO, {"digest": digest_of(token)}).first()
    return None if row is None else Actor(row.name, Role(row.role))


def known(session: Session, name: str, otherwise: Role | None) -> Actor:
    """A person whom a proxy has signed in: the one of this name, or else one with the role `otherwise`.

    Who has no row is the same person in upper and lower case: one limit holds for both.

    Raises:
        ForbiddenError: the person is disabled, or there is none and no role for such; or a guest or program has such
            a name.
    """
    row = _by_name(session, name)
    if row is not None and row.disabled_at is None:
        return Actor(row.name, Role(row.role))
    if row is not None or otherwise is None:
        why = "is disabled" if row is not None else "may not see these pages"
        change = hint("people enable", name) if row else hint("people add", name)
        raise ForbiddenError(f"{name} {why}; operators change that with {change}")
    if _OF_OTHERS.fullmatch(name):
        raise ForbiddenError(f"{name} is a name of guests or programs, which nobody may enter with")
    return Actor(name.lower(), otherwise)


def digest_of(token: str) -> str:
    """What is kept of a cookie's value."""
    return hashlib.sha256(token.encode(errors="replace")).hexdigest()


def form_token(secret: str) -> str:
    """What the forms of a page carry: only pages that were shown to the owner of `secret` know it."""
    return hmac.digest(secret.encode(errors="replace"), b"recast form", "sha256").hex()


def check_form(secret: str, given: str) -> None:
    """Refuse a form that did not come from a page of ours.

    Raises:
        ForbiddenError: its token is another one.
    """
    if not hmac.compare_digest(form_token(secret).encode(), given.encode(errors="replace")):
        raise ForbiddenError("this form did not come from a page of yours; load the page again and send it anew")


def _by_name(session: Session, name: str) -> Row[Any] | None:
    return session.execute(_FIND, {"name": " ".join(name.split())}).first()


def _begin(session: Session, row: Row[Any], token: str) -> bool:
    """Write the sign-in, unless the person was disabled or has got another password since they were looked up."""
    session.execute(_EXPIRED)
    begun = {"digest": digest_of(token), "id": row.id, "seconds": SIGN_IN_SECONDS, "password": row.password}
    if session.execute(_SIGN_IN, begun).first() is None:
        return False
    entered(session, Actor(row.name, Role(row.role)))
    return True


def _found(session: Session, name: str) -> int:
    row = _by_name(session, name)
    if row is None:
        raise PersonError(f"name: there is nobody called {name!r}; {hint('people list')} shows everybody")
    return int(row.id)
