"""Input pictures: those that jobs named, as they were handed to providers."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class InputPicture(Base):
    """A picture by where it came from and what it was; `key` says where it lies in our storage, if it had to.

    By these rows a person's pictures are found again, and files in the storage are told from ones that nobody needs.
    """

    __tablename__ = "inputs"
    __table_args__ = (Index("ix_inputs_sha256", "sha256"),)

    uri: Mapped[str] = mapped_column(primary_key=True)
    #: Of the bytes that were handed over.
    sha256: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str | None]
    #: Within an hour.
    used_at: Mapped[CreatedAt]
