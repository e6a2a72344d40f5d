"""Quotes: offers of paid work with a price that is not exceeded, each taken once, in time, and within a day's limit."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk import tokens
from models.fragments import seconds_from_now

ID_BYTES = 18  # of a quote's name: nobody guesses it

_OFFER = text(f"""
    INSERT INTO quotes (id, token_id, kind, batch, terms, content, ceiling, expires_at)
    VALUES (:id, :token_id, :kind, :batch, cast(:terms AS jsonb), :content, :ceiling, {seconds_from_now(":seconds")})
    RETURNING expires_at
""")
_FIND = text("""
    SELECT id, kind, batch, terms, content, ceiling, expires_at, used_at, expires_at < clock_timestamp() AS expired
    FROM quotes WHERE id = :id AND token_id = :token_id AND kind = :kind
""")
_KIND = text("SELECT kind, batch FROM quotes WHERE id = :id AND token_id = :token_id")
# The second of two waits here, and then finds that it was taken.
_TAKE = text("""
    UPDATE quotes SET used_at = clock_timestamp(), content = NULL
    WHERE id = :id AND token_id = :token_id AND used_at IS NULL AND expires_at >= clock_timestamp() RETURNING ceiling
""")


class QuoteError(Exception):
    """The quote cannot be taken; the message says why. Nothing was done."""


class UnknownQuoteError(QuoteError):
    """The program was given no such quote."""


class StaleQuoteError(QuoteError):
    """The quote was taken, has expired, or no longer says what would be done: ask for a new one."""


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer."""

    id: str
    kind: str
    batch: str | None
    terms: Mapping[str, Any]
    content: bytes
    #: The most that it may cost.
    ceiling: Decimal
    expires_at: datetime


def offer(
    session: Session,
    token_id: int,
    kind: str,
    batch: str | None,
    terms: Mapping[str, Any],
    content: bytes,
    ceiling: Decimal,
    seconds: float,
) -> Quote:
    """Write down what would be done for a program, and for how many seconds that may be taken."""
    quote_id = secrets.token_urlsafe(ID_BYTES)
    values = {
        "id": quote_id, "token_id": token_id, "kind": kind, "batch": batch, "terms": json.dumps(terms),
        "content": content, "ceiling": ceiling, "seconds": seconds,
    }  # fmt: skip
    expires_at = session.execute(_OFFER, values).scalar_one()
    return Quote(quote_id, kind, batch, terms, content, ceiling, expires_at)


def kind_of(session: Session, token_id: int, quote_id: str) -> tuple[str, str | None]:
    """What a quote is for, and the batch that it names.

    Raises:
        UnknownQuoteError: the program was given no such quote.
    """
    row = session.execute(_KIND, {"id": quote_id, "token_id": token_id}).first()
    if row is None:
        raise UnknownQuoteError(f"there is no quote {quote_id[:80]!r} for this token")
    return row.kind, row.batch


def find(session: Session, token_id: int, kind: str, quote_id: str) -> Quote:
    """A quote that can still be taken.

    Raises:
        UnknownQuoteError: the program was given no such quote.
        StaleQuoteError: it was taken, or has expired.
    """
    row = session.execute(_FIND, {"id": quote_id, "token_id": token_id, "kind": kind}).first()
    if row is None:
        raise UnknownQuoteError(f"there is no quote {quote_id[:80]!r} for this token and this request")
    if row.used_at is not None:
        of = f" for batch {row.batch!r}" if row.batch else ""
        raise StaleQuoteError(f"the quote was taken at {row.used_at.isoformat()}{of}; a quote is taken once")
    if row.expired:
        raise StaleQuoteError(f"the quote has expired at {row.expires_at.isoformat()}; ask for a new one")
    return Quote(row.id, row.kind, row.batch, row.terms, bytes(row.content), row.ceiling, row.expires_at)


def take(session: Session, token_id: int, quote: Quote, currency: str) -> None:
    """Take a quote, in the transaction that does what it says, and count it against the token's limit of the day.

    Raises:
        StaleQuoteError: it was taken, or has expired.
        SpendLimitError: the token may not commit so much today.
    """
    if session.execute(_TAKE, {"id": quote.id, "token_id": token_id}).first() is None:
        find(session, token_id, quote.kind, quote.id)
        raise StaleQuoteError("the quote was taken at the same moment; a quote is taken once")
    tokens.charge(session, token_id, quote.ceiling, currency)
