"""Results: stored files that jobs produced."""

from __future__ import annotations

import uuid

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, SmallInteger, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document


class Result(Base):
    """One output file of an attempt, in our storage."""

    __tablename__ = "results"
    __table_args__ = (UniqueConstraint("attempt_id", "index"), Index("ix_results_job_id", "job_id"))

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
    size: Mapped[int] = mapped_column(BigInteger)
    media_type: Mapped[str]
    width: Mapped[int]
    height: Mapped[int]
    facts: Mapped[Document] = mapped_column(server_default="{}")
    created_at: Mapped[CreatedAt]
