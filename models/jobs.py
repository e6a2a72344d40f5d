"""Jobs, the former versions of changed ones, and the kind of data in each of their columns."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Timestamp, one_of
from models.states import JobState

#: The input pictures of a job, each in the column of its role.
ROLES = ("source", "target", "image")
#: All that is put into a job.
INPUTS = (*ROLES, "prompt", "options")
#: What the request pins, if anything.
PINS = ("account", "provider", "operation")
#: What a job asks for; a `Version` keeps it when a catalog's row is changed.
ASKED = ("kind", *INPUTS, *PINS, "fingerprint", "extra")
#: How a job, or a former version of it, ended.
ENDING = ("state", "reason", "error", "started_at", "finished_at")

#: Columns of jobs and versions that hold, name or may repeat something of a person: `recast forget` empties them.
PERSONAL = (*INPUTS, "extra", "error")
#: The others that hold text: they name rows, say how a job continues, or are digests.
IMPERSONAL = (
    "id", "job_id", "key", "dedupe_key", "kind", *PINS, "lane", "fingerprint", "state", "reason",
)  # fmt: skip


class Job(Base):
    """One picture to make. `id` is its Celery task id, or that of a catalog's row (`models.identity.bulk_job_id`)."""

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
        # What has ended since: the API's events.
        Index("ix_jobs_finished_at", "finished_at", "id", postgresql_where=text("finished_at IS NOT NULL")),
        # The grid's newest pictures.
        Index(
            "ix_jobs_batch_finished_at",
            "batch_id",
            "finished_at",
            "seq",
            postgresql_where=text("finished_at IS NOT NULL"),
        ),
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
    #: What the request pins, if anything.
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
    #: A worker is preparing or saving the job until then; later any worker may.
    claimed_until: Mapped[Timestamp | None]
    #: Not sent anywhere, and not saved, before then.
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
    #: The attempt whose pictures are the job's, until a redo of it has made others; NULL: its latest that is done.
    kept_attempt: Mapped[int | None] = mapped_column(SmallInteger)
    #: How often its inputs could not be read or uploaded since it was queued.
    input_tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    #: How often in a row a worker claimed it and did not come to an end with it.
    lapses: Mapped[int] = mapped_column(SmallInteger, server_default="0")
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
