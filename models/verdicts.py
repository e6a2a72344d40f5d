"""What people decided about results: every verdict, what counts for each job, and who has a picture open."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Identity, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp, one_of

#: Columns of verdicts in which people write, or point at, something of the person shown: erased with the picture.
PERSONAL = ("note", "area")
#: The others that hold text.
IMPERSONAL = ("job_id", "person", "role", "verdict", "reasons", "request", "selection")


class Verdict(StrEnum):
    """What a person decided about a picture."""

    UNREVIEWED = "unreviewed"
    APPROVED = "approved"
    NEEDS_WORK = "needs_work"


class VerdictChange(Base):
    """One decision about one result. Rows are never changed: the newest of a result counts."""

    __tablename__ = "verdicts"
    __table_args__ = (
        one_of("verdict", Verdict),
        Index("ix_verdicts_result_id", "result_id", "id"),
        Index("ix_verdicts_job_id", "job_id"),
        Index("ix_verdicts_person", "batch_id", "person", "id"),
        # What was decided since: the API's events.
        Index("ix_verdicts_at", "at", "id"),
        Index("ix_verdicts_undoes", "undoes", unique=True, postgresql_where=text("undoes IS NOT NULL")),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    result_id: Mapped[int] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    batch_id: Mapped[int]
    #: The name of the person, or of the system's user who typed a command.
    person: Mapped[str]
    #: In which role: `reviewer` or `operator`, `guest` or `program`; None where an older version wrote it.
    role: Mapped[str | None]
    verdict: Mapped[str]
    #: What is wrong with the picture, in the words of the deployment's list.
    reasons: Mapped[list[str]] = mapped_column(JSONB, server_default="[]")
    note: Mapped[str | None]
    #: The part of the picture that is meant, as fractions of its sides: {"x": 0.1, "y": 0.2, "width": 0.3, ...}.
    area: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    #: The decision that this one takes back.
    undoes: Mapped[int | None] = mapped_column(BigInteger)
    #: The sender's name of this decision: one that is sent twice is made once.
    request: Mapped[str | None] = mapped_column(unique=True)
    #: The name of the selection with which it was given, by which all of it is taken back.
    selection: Mapped[str | None]
    at: Mapped[CreatedAt]


class Review(Base):
    """What counts for a job that people looked at. A job without a row is unreviewed."""

    __tablename__ = "reviews"
    __table_args__ = (
        one_of("verdict", Verdict),
        Index("ix_reviews_batch_verdict", "batch_id", "verdict", "seq"),
        Index("ix_reviews_verdict_id", "verdict_id"),
        Index("ix_reviews_chosen", "chosen", postgresql_where=text("chosen IS NOT NULL")),
    )

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    batch_id: Mapped[int]
    #: The job's place in its batch.
    seq: Mapped[int] = mapped_column(BigInteger)
    verdict: Mapped[str] = mapped_column(server_default=Verdict.UNREVIEWED.value)
    #: The decision that counts.
    verdict_id: Mapped[int | None] = mapped_column(ForeignKey("verdicts.id", ondelete="CASCADE"))
    #: The one picture of the job that is used.
    chosen: Mapped[int | None] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"))


class VerdictCount(Base):
    """A change of how many jobs of a batch have a verdict; the sum of all of them is how many there are.

    Triggers on `reviews` add a row for each statement that changes one (`migrations`), and the sweep folds them.
    """

    __tablename__ = "verdict_counts"
    __table_args__ = (one_of("verdict", Verdict), Index("ix_verdict_counts_batch_id", "batch_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    batch_id: Mapped[int]
    verdict: Mapped[str]
    number: Mapped[int]


class PictureClaim(Base):
    """A job whose pictures a person has open: others are handed other ones."""

    __tablename__ = "picture_claims"
    __table_args__ = (Index("ix_picture_claims_person", "person"),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    person: Mapped[str]
    until: Mapped[Timestamp]
