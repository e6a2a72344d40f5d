"""Quality checks of results: what was measured in each picture before people look, and what finds copies again."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

from sqlalchemy import BigInteger, ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, one_of

#: The columns that hold text: they name rows, and none says anything of a person.
IMPERSONAL = ("job_id", "name")

#: Flags that count: those of a job's present version.
_COUNTS = "flagged AND NOT former"


class CheckName(StrEnum):
    """What is checked, in the order in which it is shown."""

    BLANK = "blank"
    NO_FACE = "no_face"
    FEWER_FACES = "fewer_faces"
    MORE_FACES = "more_faces"
    FACE_UNCHANGED = "face_unchanged"
    OTHER_PERSON = "other_person"
    CHANGED_OUTSIDE = "changed_outside"
    BLURRED = "blurred"
    OTHER_SIZE = "other_size"
    NEAR_DUPLICATE = "near_duplicate"


ANY_CHECK = "any"  # in place of a check's name: flagged by whichever
ASKED_CHECKS = (ANY_CHECK, *CheckName)  # what a filter may say


def named_checks(asked: Sequence[str]) -> list[str]:
    """The names of the checks that a filter asks for, of `ASKED_CHECKS`."""
    return [check.value for check in CheckName] if ANY_CHECK in asked else list(asked)


class DueCheck(Base):
    """A result whose checks are still to be made."""

    __tablename__ = "due_checks"
    __table_args__ = (Index("ix_due_checks_at", "at"),)

    result_id: Mapped[int] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"), primary_key=True)
    #: Not before then: now, or when the claim of a worker that did not come to an end runs out.
    at: Mapped[CreatedAt]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")


class Check(Base):
    """One check of one result. A result that was not checked, or a check that did not apply, has no row."""

    __tablename__ = "checks"
    __table_args__ = (
        one_of("name", CheckName),
        Index("ix_checks_job_id", "job_id"),
        # These serve the grid: every flag, and those of one check, in the order of the catalog and the worst first.
        Index("ix_checks_seq", "batch_id", "seq", postgresql_where=text(_COUNTS)),
        Index("ix_checks_rank", "batch_id", "rank", "seq", postgresql_where=text(_COUNTS)),
        Index("ix_checks_name_seq", "batch_id", "name", "seq", postgresql_where=text(_COUNTS)),
        Index("ix_checks_name_rank", "batch_id", "name", "rank", "seq", postgresql_where=text(_COUNTS)),
    )

    result_id: Mapped[int] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    batch_id: Mapped[int]
    #: The job's place in its batch.
    seq: Mapped[int] = mapped_column(BigInteger)
    #: From 0 to 1, the surest fault; `threshold` is the score from which on it was flagged.
    score: Mapped[float]
    threshold: Mapped[float]
    flagged: Mapped[bool]
    #: Where a flag stands among the flags of all checks: 0 is the worst, and 1 just reaches its threshold.
    rank: Mapped[float]
    #: Whether the job has made another picture since, so that this one needs nobody's look.
    former: Mapped[bool] = mapped_column(server_default=text("false"))


class DueRedo(Base):
    """A job with a new flag that its batch asks for another picture for (`desk.redo_flagged`)."""

    __tablename__ = "due_redos"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    batch_id: Mapped[int]


class HashBand(Base):
    """A quarter of the perceptual hash of a result: two pictures that look alike have at least one in common."""

    __tablename__ = "hash_bands"
    __table_args__ = (Index("ix_hash_bands_value", "batch_id", "band", "value", "result_id"),)

    result_id: Mapped[int] = mapped_column(ForeignKey("results.id", ondelete="CASCADE"), primary_key=True)
    #: From 0 to 3.
    band: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    batch_id: Mapped[int]
    #: 16 bits of the 64.
    value: Mapped[int]
    hash: Mapped[int] = mapped_column(BigInteger)
    #: Of the picture that it was made of, if any: where two of these look alike, so may the results.
    target_hash: Mapped[int | None] = mapped_column(BigInteger)
