"""Redos: pictures that were asked for again on purpose, by whom, and what counted for their jobs before."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Money

#: Columns that hold text: none of them holds something of the person shown.
IMPERSONAL = ("job_id", "person", "via", "lane", "verdict")


class Redo(Base):
    """One version of a job that a person asked for. If nothing comes of it, the job gets back what is kept here."""

    __tablename__ = "redos"
    __table_args__ = (Index("ix_redos_person", "person", "at"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    #: The version of the job that the redo made.
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    #: The name of the person, or of the system's user who typed a command.
    person: Mapped[str]
    #: `page`, `command` or `program`.
    via: Mapped[str]
    at: Mapped[CreatedAt]
    #: The most that it may cost, with every attempt that may be paid.
    at_most: Mapped[Money]
    #: Its attempts have higher numbers than this.
    after_attempt: Mapped[int] = mapped_column(SmallInteger)
    #: The job's lane before it.
    lane: Mapped[str]
    #: What counted for the job before it, as its review said; NULL where nobody had looked at it.
    verdict: Mapped[str | None]
    verdict_id: Mapped[int | None] = mapped_column(BigInteger)
    chosen: Mapped[int | None] = mapped_column(BigInteger)
