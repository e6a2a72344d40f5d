"""Results: stored files that jobs produced."""

from __future__ import annotations

import uuid
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document


class Provenance(StrEnum):
    """How a stored file says what made it."""

    #: By our mark in its metadata.
    MARK = "mark"
    #: By the provider's own Content Credentials, with which it was left as it is.
    CREDENTIALS = "credentials"
    #: By Content Credentials that we signed.
    SIGNED = "signed"


class Result(Base):
    """One output file of an attempt, in our storage."""

    __tablename__ = "results"
    __table_args__ = (
        UniqueConstraint("attempt_id", "index"),
        Index("ix_results_job_id", "job_id"),
        # A digest is asked for as a whole, so four bytes of it are enough for an index.
        Index("ix_results_sha256", "sha256", postgresql_using="hash"),
        Index("ix_results_original_sha256", "original_sha256", postgresql_using="hash"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    attempt_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("attempts.id", ondelete="CASCADE"))
    index: Mapped[int] = mapped_column(SmallInteger)
    key: Mapped[str]
    #: Made when a page first shows the picture.
    thumbnail_key: Mapped[str | None]
    sha256: Mapped[str]
    #: The file as the provider made it, before it was marked as synthetic: where it is kept beside ours, its digest.
    original_key: Mapped[str | None]
    original_sha256: Mapped[str | None]
    #: Where in our file the mark lies, in bytes: without these it is the provider's. None where that is kept beside it.
    mark_start: Mapped[int | None]
    mark_length: Mapped[int | None]
    #: How the file says what made it, a `Provenance`; None where it does not, and where an older version stored it.
    provenance: Mapped[str | None]
    #: The digital source type that it states; None where none is known.
    source_type: Mapped[str | None]
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    facts: Mapped[Document] = mapped_column(server_default="{}")
    created_at: Mapped[CreatedAt]
