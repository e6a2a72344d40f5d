"""Archives: files of the storage that jobs and all that belongs to them moved to."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Money, Timestamp


class Archive(Base):
    """One file of archived jobs, written by the transaction that removed their rows."""

    __tablename__ = "archives"
    __table_args__ = (Index("ix_archives_batch_id", "batch_id"),)

    #: The file's key in the storage.
    key: Mapped[str] = mapped_column(primary_key=True)
    #: In which the jobs ended: ``2026-01`` (UTC).
    month: Mapped[str]
    batch_id: Mapped[int]
    jobs: Mapped[int]
    attempts: Mapped[int]
    results: Mapped[int]
    #: What the attempts cost; `spend` keeps having it, too.
    cost: Mapped[Money]
    #: What was paid for, by operation.
    paid: Mapped[dict[str, Any]] = mapped_column(JSONB)
    #: In bytes.
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    #: When the last of the jobs ended: no picture of theirs is younger.
    finished_until: Mapped[Timestamp]
    created_at: Mapped[CreatedAt]
