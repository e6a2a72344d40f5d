"""Programs that use the API: their tokens, what they were quoted, and what they were answered."""

from __future__ import annotations

from datetime import date

from sqlalchemy import ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Money, Serial, Timestamp, one_of
from models.people import Role

KEPT_SECONDS = 24 * 3600.0  # answers and quotes that have ended: a program that was away for longer asks anew


class Token(Base):
    """What a program shows instead of a name and a password."""

    __tablename__ = "tokens"
    __table_args__ = (
        one_of("role", Role),
        UniqueConstraint("digest"),
        Index("uq_tokens_name", text("lower(name)"), unique=True, postgresql_where=text("revoked_at IS NULL")),
    )

    id: Mapped[Serial]
    name: Mapped[str]
    role: Mapped[str]
    #: SHA-256 of the token, which is nowhere else.
    digest: Mapped[str]
    #: The most that it may commit in one day, in UTC; None for no limit of its own.
    spend_per_day: Mapped[Money | None]
    #: What it has committed, and on which day.
    spent: Mapped[Money] = mapped_column(server_default="0")
    spent_on: Mapped[date | None]
    created_at: Mapped[CreatedAt]
    revoked_at: Mapped[Timestamp | None]


class Quote(Base):
    """An offer: what exactly would be done, and the most that it costs. It can be taken once."""

    __tablename__ = "quotes"
    __table_args__ = (
        one_of("kind", ("run", "retry", "redo", "job", "resolve", "pilot")),
        Index("ix_quotes_expires_at", "expires_at"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"))
    kind: Mapped[str]
    #: The name of the batch, where there is one.
    batch: Mapped[str | None]
    #: The options, and the numbers that were quoted.
    terms: Mapped[Document]
    #: The catalog's bytes, the ids of jobs, or one job; only until the quote is taken or has expired.
    content: Mapped[bytes | None]
    ceiling: Mapped[Money]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Timestamp]
    used_at: Mapped[Timestamp | None]


class KeptAnswer(Base):
    """The answer to a request with an Idempotency-Key, for when the same request comes again."""

    __tablename__ = "kept_answers"
    __table_args__ = (Index("ix_kept_answers_created_at", "created_at"),)

    token_id: Mapped[int] = mapped_column(ForeignKey("tokens.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    #: SHA-256 of the request.
    digest: Mapped[str]
    #: None while the first one is in work.
    status: Mapped[int | None]
    body: Mapped[Document | None]
    created_at: Mapped[CreatedAt]
