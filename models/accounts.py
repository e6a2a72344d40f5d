"""What is known of an account at run time: its gate, its spend, its uploads. The accounts file defines the rest."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Money, Timestamp, one_of


class Account(Base):
    """The gate of one account and the overrides people gave it; the row is locked by whoever wants to submit."""

    __tablename__ = "accounts"
    __table_args__ = (one_of("closed_reason", ("throttled", "outage", "credit", "auth", "budget", "paused")),)

    name: Mapped[str] = mapped_column(primary_key=True)
    provider: Mapped[str]
    #: Submissions are refused until then; `infinity` means until a person or a changed credential opens it.
    closed_until: Mapped[Timestamp | None]
    closed_reason: Mapped[str | None]
    closed_note: Mapped[str | None]
    #: How many attempts were ever begun; between two counts of the open ones it gives an upper bound of them.
    begun: Mapped[int] = mapped_column(BigInteger, server_default="0")
    #: Consecutive failures; above zero an open gate lets one probe through at a time.
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
    #: Encrypted provider session (tokens), by SECRET_KEY; NULL where the provider has static credentials.
    session: Mapped[bytes | None] = mapped_column(BYTEA)
    #: When an inbox that serves all jobs of the account was read last.
    inbox_at: Mapped[Timestamp | None]
    #: Set before a single-use token is spent; found without the session that should follow, the session is begun anew.
    session_refresh_at: Mapped[Timestamp | None]


class Upload(Base):
    """Bytes that lie at a provider already: one upload serves every job of the account with the same content."""

    __tablename__ = "uploads"

    account: Mapped[str] = mapped_column(ForeignKey("accounts.name", ondelete="CASCADE"), primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    handle: Mapped[str]
    created_at: Mapped[CreatedAt]
    expires_at: Mapped[Timestamp | None]


class Spend(Base):
    """Money promised so far within a scope and a period; locked in the transaction that inserts an attempt.

    `scope` is ``account:NAME`` or ``batch:ID``; `period` is ``day:2026-01-31``, ``month:2026-01`` (UTC) or ``all``.
    """

    __tablename__ = "spend"

    scope: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Money] = mapped_column(server_default="0")


class Lease(Base):
    """Who may run a pump, by the database's clock, and when the pump wants to run next."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    until: Mapped[Timestamp | None]
    #: Grows at the end of every slice; a pump's message carries the one it was published with.
    generation: Mapped[int] = mapped_column(server_default="0")
    wake_at: Mapped[Timestamp | None]


class Batch(Base):
    """The jobs of one catalog, and how many of them stand where.

    The counts are kept by the transactions that move the jobs and verified by the sweep. Batch 0 holds the jobs that
    producers send one by one; its counts are not kept, because every producer would queue for that one row.
    """

    __tablename__ = "batches"
    __table_args__ = (UniqueConstraint("schedule", "planned_at"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str | None]
    schedule: Mapped[str | None] = mapped_column(ForeignKey("schedules.name", ondelete="SET NULL"))
    planned_at: Mapped[Timestamp | None]
    #: Most money this batch may spend, in the deployment's currency.
    max_cost: Mapped[Money | None]
    paused_at: Mapped[Timestamp | None]
    #: `budget` when its `max_cost` is spent, `person` when somebody paused it.
    paused_reason: Mapped[str | None]
    #: Most jobs of this batch that may be at providers at the same time, over all accounts; NULL for no limit.
    max_in_flight: Mapped[int | None]
    #: Days after which the pictures of ended jobs are removed from the storage; NULL keeps them.
    keep_days: Mapped[int | None]
    created_at: Mapped[CreatedAt]
    queued: Mapped[int] = mapped_column(server_default="0")
    running: Mapped[int] = mapped_column(server_default="0")
    saving: Mapped[int] = mapped_column(server_default="0")
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    rejected: Mapped[int] = mapped_column(server_default="0")
    canceled: Mapped[int] = mapped_column(server_default="0")
    held: Mapped[int] = mapped_column(server_default="0")


#: The pseudo-batch of jobs that came one by one.
SINGLES = 0


class Callback(Base):
    """A provider's callback as it came, kept raw; it is never trusted, it only makes a poll due."""

    __tablename__ = "callbacks"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    token: Mapped[str] = mapped_column(Text, index=True)
    body: Mapped[bytes] = mapped_column(BYTEA)
    received_at: Mapped[CreatedAt]


class Tally(Base):
    """A number that only grows, for metrics: `labels` is a JSON object as text, with its names in order."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]
    last_at: Mapped[CreatedAt]


def is_closed(account: Account, now: datetime) -> bool:
    """Whether the gate lets nothing through at `now`."""
    return account.closed_until is not None and account.closed_until > now
