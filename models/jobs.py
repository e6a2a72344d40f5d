"""What was asked (jobs), who waits (announcements), what was tried and paid (attempts), what came out (results)."""

from __future__ import annotations

import hashlib
import uuid
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import BYTEA, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Money, Timestamp, one_of
from models.states import AttemptState, JobState


class Job(Base):
    """One picture to make. `id` is its Celery task id, or a uuid5 of batch, key and version for a catalog's row."""

    __tablename__ = "jobs"
    __table_args__ = (
        one_of("state", JobState),
        one_of("kind", ("swap", "generate")),
        # Serves every claim: the lanes with queued work, the batches within a lane, the next jobs within a batch.
        Index(
            "ix_jobs_queued",
            "lane",
            "batch_id",
            text("priority DESC"),
            "seq",
            postgresql_where=text("state = 'queued'"),
        ),
        Index("ix_jobs_saving", "seq", postgresql_where=text("state = 'saving'")),
        Index("ix_jobs_expiring", "expires_at", postgresql_where=text("state = 'queued' AND expires_at IS NOT NULL")),
        Index("ix_jobs_batch_key", "batch_id", "key", unique=True, postgresql_where=text("batch_id > 0")),
        Index("ix_jobs_dedupe_key", "dedupe_key", unique=True, postgresql_where=text("dedupe_key IS NOT NULL")),
        Index("ix_jobs_batch_state", "batch_id", "state", "seq"),
    )

    id: Mapped[str] = mapped_column(primary_key=True)
    #: Order of arrival.
    seq: Mapped[int] = mapped_column(BigInteger, Identity())
    kind: Mapped[str]
    source: Mapped[str | None]
    target: Mapped[str | None]
    image: Mapped[str | None]
    prompt: Mapped[str | None]
    options: Mapped[Document] = mapped_column(server_default="{}")
    #: What the asker pinned, if anything.
    account: Mapped[str | None]
    provider: Mapped[str | None]
    operation: Mapped[str | None]
    #: Which accounts may claim it: the operations that could serve it, behind the pinned account if there is one.
    lane: Mapped[str]
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id"), server_default="0")
    key: Mapped[str | None]
    #: Digest of everything that decides the picture; a catalog's row with another digest is a changed one.
    fingerprint: Mapped[str | None]
    dedupe_key: Mapped[str | None]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: A catalog's further columns, which come back in its export.
    extra: Mapped[Document] = mapped_column(server_default="{}")
    state: Mapped[str] = mapped_column(server_default=JobState.QUEUED.value)
    reason: Mapped[str | None]
    error: Mapped[str | None]
    #: A worker is preparing or saving the job until then; later anybody may.
    claimed_until: Mapped[Timestamp | None]
    #: Not sent anywhere before then.
    not_before: Mapped[Timestamp | None]
    #: Not sent anywhere after then.
    expires_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    #: Grows when a catalog's row asks for another picture; `Version` keeps what was asked before.
    version: Mapped[int] = mapped_column(server_default="1")
    #: Attempts up to this number were made for former versions, and nothing that comes of them is this version's.
    former_attempts: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: When its pictures were removed from the storage, by retention or on request.
    erased_at: Mapped[Timestamp | None]


class Version(Base):
    """What a catalog's row asked for before it was changed, and how that ended; attempts and results stay with it."""

    __tablename__ = "versions"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: The number of its last attempt, or of the last one before it.
    last_attempt: Mapped[int] = mapped_column(SmallInteger)
    kind: Mapped[str]
    source: Mapped[str | None]
    target: Mapped[str | None]
    image: Mapped[str | None]
    prompt: Mapped[str | None]
    options: Mapped[Document] = mapped_column(server_default="{}")
    account: Mapped[str | None]
    provider: Mapped[str | None]
    operation: Mapped[str | None]
    fingerprint: Mapped[str | None]
    extra: Mapped[Document] = mapped_column(server_default="{}")
    state: Mapped[str]
    reason: Mapped[str | None]
    error: Mapped[str | None]
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    replaced_at: Mapped[CreatedAt]


class Announcement(Base):
    """A Celery task id that waits for a job's end, with the canvas that Celery would have acted on."""

    __tablename__ = "announcements"
    __table_args__ = (
        Index("ix_announcements_waiting", "job_id", postgresql_where=text("announced_at IS NULL")),
        Index("ix_announcements_job_id", "job_id"),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    #: The task's request (links, chain, chord, group, ids), as kombu's JSON text.
    canvas: Mapped[str]
    created_at: Mapped[CreatedAt]
    announced_at: Mapped[Timestamp | None]


class Attempt(Base):
    """One paid submission of a job to one account; `id` is the client reference, a uuid5 of job and number."""

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
    #: How often the provider was asked and knew nothing of it.
    absences: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: How often a dead result URL made us ask again.
    refetches: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: What the provider says came out: [{"url": ..., "facts": {...}}].
    outputs: Mapped[list[dict[str, Any]] | None] = mapped_column(JSONB)
    #: The provider's last answer, as bytes: JSONB would refuse NUL and NaN.
    raw: Mapped[bytes | None] = mapped_column(BYTEA)


class Result(Base):
    """One output file of an attempt, in our storage."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("attempt_id", "index"), Index("ix_results_job_id", "job_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    index: Mapped[int] = mapped_column(SmallInteger)
    key: Mapped[str]
    thumbnail_key: Mapped[str | None]
    sha256: Mapped[str]
    #: The file as the provider made it, before it was marked as synthetic: where it is kept beside ours, its digest.
    original_key: Mapped[str | None]
    original_sha256: Mapped[str | None]
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    facts: Mapped[Document] = mapped_column(server_default="{}")
    created_at: Mapped[CreatedAt]


#: Namespace of client references and bulk job ids; changing it would make every retry a new payment.
NAMESPACE = uuid.UUID("6ad3b5f0-6a1e-4f0e-9d0b-7c0f6f1f2a55")


def client_reference(job_id: str, number: int) -> uuid.UUID:
    """The attempt's id: the same job and number always give the same reference, on any machine."""
    return uuid.uuid5(NAMESPACE, f"{job_id}#{number}")


def bulk_job_id(batch: str, key: str) -> str:
    """The id of a catalog's row: the same row of the same catalog is the same job."""
    # `uuid.uuid5` by hand: it makes an object on the way, which a million rows feel.
    digest = hashlib.sha1(NAMESPACE.bytes + f"{batch}/{key}".encode(), usedforsecurity=False).hexdigest()
    variant = "89ab"[int(digest[16], 16) & 3]
    return f"{digest[:8]}-{digest[8:12]}-5{digest[13:16]}-{variant}{digest[17:20]}-{digest[20:32]}"


def money(value: Decimal, currency: str) -> str:
    """An amount as people write it, e.g. ``0.02 USD``."""
    return f"{value.normalize():f} {currency}"
