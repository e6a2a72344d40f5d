"""Releases: what the people shown have agreed to, for how long and for what. Jobs name them in `consent`."""

from __future__ import annotations

from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp

#: The columns that hold text: a reference names a document, and kinds and labels are the deployment's words.
IMPERSONAL = ("reference", "kinds", "labels")


class Release(Base):
    """What is known of one release. A reference without a row allows everything, for ever."""

    __tablename__ = "releases"

    #: As jobs name it in `consent`.
    reference: Mapped[str] = mapped_column(primary_key=True)
    #: From then on no picture is made under it; None for no end.
    ends_at: Mapped[Timestamp | None]
    #: What may be made under it: kinds of jobs, and labels of batches; None for all.
    kinds: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    labels: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    created_at: Mapped[CreatedAt]
