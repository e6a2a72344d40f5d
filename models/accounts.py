"""Accounts at run time: admission, overrides and uploads. The accounts file has the rest."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Timestamp, one_of
from models.states import Closure


class CredentialVerdict(StrEnum):
    """What a free check of an account's credentials found."""

    GOOD = "good"
    REFUSED = "refused"
    #: No free call can check them.
    UNKNOWN = "unknown"
    #: The provider did not answer.
    SILENT = "silent"


class Account(Base):
    """The admission and the overrides of one account; every submission locks the row."""

    __tablename__ = "accounts"
    __table_args__ = (one_of("closed_reason", Closure),)

    name: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]
    #: Submissions are refused until then; `infinity` means until a person or changed credentials resume it.
    closed_until: Mapped[Timestamp | None]
    closed_reason: Mapped[str | None]
    closed_note: Mapped[str | None]
    #: How many attempts were ever begun; between two counts of the open ones it gives an upper bound of them.
    begun: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: Consecutive failures; above zero, an account that is not stopped accepts one probe at a time.
    failures: Mapped[int] = mapped_column(server_default="0")
    #: The rate's token bucket: how many tokens there were at `rate_at`.
    rate_tokens: Mapped[float | None]
    rate_at: Mapped[Timestamp | None]
    #: Learned seconds from acceptance to a good first look, by operation: {"zhiqite.swap": 5.1}.
    latency: Mapped[Document] = mapped_column(server_default="{}")
    #: Settings that people changed while running, over the file's: {"max_in_flight": 8}.
    overrides: Mapped[Document] = mapped_column(server_default="{}")
    overridden_by: Mapped[str | None]
    overridden_at: Mapped[Timestamp | None]
    #: Answers of one kind in a row: {"kind": "...", "jobs": {job: attempt}}; NULL after a submission that was taken.
    streak: Mapped[Document | None]
    #: A mark of the credentials with which the provider last took a submission.
    proven_key: Mapped[str | None]
    #: Encrypted provider session (tokens), by SECRET_KEY; NULL where the provider has static credentials.
    session: Mapped[bytes | None] = mapped_column(BYTEA)
    #: The provider is not polled before then, because it asked for that.
    polls_after: Mapped[Timestamp | None]
    #: When an inbox that serves all jobs of the account was read last.
    inbox_at: Mapped[Timestamp | None]
    #: Set before a single-use token is spent; found without the session that should follow, the session is begun anew.
    session_refresh_at: Mapped[Timestamp | None]


class CredentialCheck(Base):
    """The latest check of an account's credentials that a person asked for on a page; a worker answers it."""

    __tablename__ = "credential_checks"
    __table_args__ = (one_of("verdict", CredentialVerdict),)

    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True)
    asked_at: Mapped[CreatedAt]
    answered_at: Mapped[Timestamp | None]
    verdict: Mapped[str | None]
    #: In words, those of the provider included.
    message: Mapped[str | None]


class Upload(Base):
    """Bytes that lie at a provider already: one upload serves every job of the account with the same content."""

    __tablename__ = "uploads"

    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    handle: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Timestamp | None]
