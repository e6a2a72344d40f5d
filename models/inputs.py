"""Input pictures of jobs, as providers received them."""

from __future__ import annotations

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class InputPicture(Base):
    """An input picture: its URI and digest, and its `key` in our storage if it was copied there.

    By these rows a person's pictures are found again, and used files in the storage are distinguished from unused ones.
    """

    __tablename__ = "inputs"
    __table_args__ = (Index("ix_inputs_sha256", "sha256"),)

    uri: Mapped[str] = mapped_column(primary_key=True)
    #: Of the bytes that a provider received.
    sha256: Mapped[str] = mapped_column(primary_key=True)
    key: Mapped[str | None]
    #: Within an hour.
    used_at: Mapped[CreatedAt]
