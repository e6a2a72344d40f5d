"""Attempts: paid submissions of jobs."""

from __future__ import annotations

import uuid
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Money, Timestamp, one_of
from models.states import AttemptState

#: Columns that may repeat something of a person: `recast forget` empties them.
PERSONAL = ("error", "locator", "outputs", "raw")
#: The others that hold text.
IMPERSONAL = ("job_id", "account", "operation", "state", "reason", "handle", "parts", "callback_token", "passed_over")


class Attempt(Base):
    """One paid submission of a job to one account; `id` is the client reference (`models.identity`)."""

    __tablename__ = "attempts"
    __table_args__ = (
        one_of("state", AttemptState),
        UniqueConstraint("job_id", "number"),
        Index("ix_attempts_due", "account", "next_poll_at", postgresql_where=text("next_poll_at IS NOT NULL")),
        Index("ix_attempts_open", "account", postgresql_where=text("state IN ('sending', 'running', 'unknown')")),
        Index("ix_attempts_sending", "sent_at", postgresql_where=text("state = 'sending'")),
        Index("ix_attempts_created", "account", "created_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    number: Mapped[int] = mapped_column(SmallInteger)
    #: The job's batch, so that money can be booked without looking the job up.
    batch_id: Mapped[int]
    account: Mapped[str]
    operation: Mapped[str]
    state: Mapped[str]
    reason: Mapped[str | None]
    error: Mapped[str | None]
    #: The provider's name for it.
    handle: Mapped[str | None]
    #: The provider's names of the pictures that it makes, where its acceptance gave them.
    parts: Mapped[list[str] | None] = mapped_column(JSONB)
    #: What the adapter needs to find it at the provider when the answer was lost; written before the send.
    locator: Mapped[str | None]
    #: Digest of the unguessable last part of the callback URL.
    callback_token: Mapped[str | None] = mapped_column(unique=True)
    send_count: Mapped[int] = mapped_column(SmallInteger, server_default="1")
    cost: Mapped[Money] = mapped_column(server_default="0")
    #: Why the accounts that are used before this one were passed over.
    passed_over: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    #: Committed just before the bytes were written.
    sent_at: Mapped[Timestamp]
    accepted_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    next_poll_at: Mapped[Timestamp | None]
    deadline_at: Mapped[Timestamp]
    callback_at: Mapped[Timestamp | None]
    #: When a poll last said "not yet": with `finished_at` it brackets the provider's latency.
    pending_at: Mapped[Timestamp | None]
    polls: Mapped[int] = mapped_column(server_default="0")
    #: How often the provider was asked in vain: of an unclear submission, that it knew none such; past the deadline of
    #: a running one, that nothing was learned of it.
    absences: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: How often the provider was asked anew for a result that could not be downloaded.
    refetches: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: What the provider says came out: [{"url": ..., "facts": {...}}].
    outputs: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    #: The provider's last answer, as bytes: JSONB would refuse NUL and NaN.
    raw: Mapped[bytes | None] = mapped_column(BYTEA)
