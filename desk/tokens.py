"""Tokens of programs: added, listed, revoked, recognized, and charged with what they commit in a day.

A token is shown once. Only its digest is kept, so nothing that is kept opens anything.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import Numeric, bindparam, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.audit import note
from desk.people import MAX_NAME_CHARS, digest_of
from models.people import Role
from recast.hints import hint
from recast.money import Money
from recast.values import unseen

PREFIX = "recast_"  # so that a token is recognized where it does not belong, such as in a repository
TOKEN_BYTES = 32  # nobody guesses it
_TODAY = "(clock_timestamp() AT TIME ZONE 'UTC')::date"

_ADD = text("INSERT INTO tokens (name, role, digest, spend_per_day) VALUES (:name, :role, :digest, :spend_per_day)")
_LIST = text(f"""
    SELECT name, role, spend_per_day, CASE WHEN spent_on = {_TODAY} THEN spent ELSE 0 END AS spent_today, created_at,
        revoked_at
    FROM tokens ORDER BY revoked_at IS NOT NULL, lower(name), id
""")
_REVOKE = text("""
    UPDATE tokens SET revoked_at = clock_timestamp() WHERE lower(name) = lower(:name) AND revoked_at IS NULL
    RETURNING id
""")
_WHO = text("SELECT id, name, role FROM tokens WHERE digest = :digest AND revoked_at IS NULL")
# One statement adds and compares: two requests at once wait for each other, and the second sees what the first added.
_CHARGE = text(f"""
    UPDATE tokens SET spent_on = {_TODAY}, spent = :amount + CASE WHEN spent_on = {_TODAY} THEN spent ELSE 0 END
    WHERE id = :id AND revoked_at IS NULL AND (spend_per_day IS NULL
        OR :amount + CASE WHEN spent_on = {_TODAY} THEN spent ELSE 0 END <= spend_per_day)
    RETURNING id
""").bindparams(bindparam("amount", type_=Numeric))
_LIMIT = text(f"""
    SELECT spend_per_day, CASE WHEN spent_on = {_TODAY} THEN spent ELSE 0 END AS spent FROM tokens WHERE id = :id
""")


class TokenError(Exception):
    """The token cannot be added or found; the message says why."""


class SpendLimitError(Exception):
    """The token may not commit so much today; nothing was done."""


@dataclass(frozen=True, slots=True)
class ListedToken:
    """A token, without its secret."""

    name: str
    role: str
    spend_per_day: Decimal | None
    spent_today: Decimal
    created_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Program:
    """A program that shows a token."""

    token_id: int
    actor: Actor


def add(session: Session, actor: Actor, name: str, role: Role, spend_per_day: Decimal | None = None) -> str:
    """Add a token, and return it: it cannot be read again.

    Raises:
        ForbiddenError: `actor` is not an operator.
        TokenError: the name is taken or not usable, or the limit is not.
    """
    actor.need(Role.OPERATOR, "add tokens")
    name = " ".join(name.split())
    if not name or len(name) > MAX_NAME_CHARS or unseen(name):
        raise TokenError(f"name: {name[:MAX_NAME_CHARS]!r} is not usable; allowed: 1 to {MAX_NAME_CHARS} visible signs")
    token = PREFIX + secrets.token_urlsafe(TOKEN_BYTES)
    values = {"name": name, "role": role.value, "digest": digest_of(token), "spend_per_day": spend_per_day}
    try:
        with session.begin_nested():
            session.execute(_ADD, values)
    except IntegrityError:
        raise TokenError(f"name: {name!r} is taken; {hint('tokens list')} shows all tokens") from None
    limit = None if spend_per_day is None else str(spend_per_day)
    note(session, actor, "tokens add", f"token {name}", role=role.value, spend_per_day=limit)
    return token


def everything(session: Session) -> Sequence[ListedToken]:
    """All tokens by name, those that were revoked last."""
    return [ListedToken(**row._mapping) for row in session.execute(_LIST)]


def revoke(session: Session, actor: Actor, name: str) -> None:
    """Let a token open nothing any more, from the next request on.

    Raises:
        ForbiddenError: `actor` is not an operator.
        TokenError: there is no such token.
    """
    actor.need(Role.OPERATOR, "revoke tokens")
    if session.execute(_REVOKE, {"name": " ".join(name.split())}).first() is None:
        raise TokenError(f"name: there is no token called {name!r}; {hint('tokens list')} shows all tokens")
    note(session, actor, "tokens revoke", f"token {name}")


def who(session: Session, token: str) -> Program | None:
    """The program that shows this token; None where there is no such token, or it was revoked."""
    row = session.execute(_WHO, {"digest": digest_of(token)}).first()
    return None if row is None else Program(row.id, Actor(f"token {row.name}", Role(row.role), "api"))


def charge(session: Session, token_id: int, amount: Decimal, currency: str) -> None:
    """Count what a program commits now against its limit of the day.

    Raises:
        SpendLimitError: it may not commit so much today, or was revoked.
    """
    if session.execute(_CHARGE, {"id": token_id, "amount": amount}).first() is not None:
        return
    row = session.execute(_LIMIT, {"id": token_id}).first()
    limit, spent = (row.spend_per_day, row.spent) if row is not None else (None, Decimal(0))
    if limit is None:
        raise SpendLimitError("the token was revoked")
    raise SpendLimitError(
        f"the token may commit {Money(limit, currency)} in a day (UTC) and has committed {Money(spent, currency)}; "
        f"this needs {Money(amount, currency)}"
    )


def charge_without_quote(
    session: Session, token_id: int, amount: Decimal, currency: str, *, quotable: bool
) -> None:  # fmt: skip
    """Count what a program commits without a quote, which only a token with a limit of the day may.

    Args:
        session: a transaction.
        token_id: whose limit it is.
        amount: the most that it may cost.
        currency: of the amount.
        quotable: whether a quote can be had for the same.

    Raises:
        SpendLimitError: it has no such limit, may not commit so much today, or was revoked.
    """
    row = session.execute(_LIMIT, {"id": token_id}).first()
    if row is None or row.spend_per_day is None:
        way = "so it needs a quote: ask with dry_run, and take the quote; or" if quotable else "which this needs;"
        raise SpendLimitError(
            f"the token has no limit of a day, {way} an operator adds a token with a limit: "
            f"{hint('tokens add', 'NAME', spend_per_day='AMOUNT')}"
        )
    charge(session, token_id, amount, currency)
