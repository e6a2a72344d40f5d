"""Pilots: samples of batches that are sent first, and what was decided about the rest."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, one_of

#: Columns that hold text.
IMPERSONAL = ("size", "decision", "decided_by", "job_id")


class PilotDecision(StrEnum):
    """What became of the rest of a batch."""

    WENT_ON = "went_on"
    STOPPED = "stopped"


class Pilot(Base):
    """A batch of which a sample is sent first. While nobody has decided, all its other jobs wait, unsent."""

    __tablename__ = "pilots"
    __table_args__ = (one_of("decision", PilotDecision),)

    batch_id: Mapped[int] = mapped_column(
        ForeignKey("batches.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    #: The sample's size as a person asked for it: ``1%`` or ``25``.
    size: Mapped[str]
    created_at: Mapped[CreatedAt]
    decision: Mapped[str | None]
    decided_at: Mapped[Timestamp | None]
    decided_by: Mapped[str | None]


class PilotJob(Base):
    """A job of the sample."""

    __tablename__ = "pilot_jobs"
    __table_args__ = (Index("ix_pilot_jobs_batch_id", "batch_id"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    batch_id: Mapped[int]
