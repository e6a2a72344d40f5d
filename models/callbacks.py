"""Callbacks of providers, as they were received."""

from __future__ import annotations

from sqlalchemy import Text
from sqlalchemy.dialects.postgresql import BYTEA
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Callback(Base):
    """A provider's callback as it came, kept raw; it is never trusted, it only makes a poll due."""

    __tablename__ = "callbacks"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    token: Mapped[str] = mapped_column(Text, index=True)
    body: Mapped[bytes] = mapped_column(BYTEA)
    received_at: Mapped[CreatedAt]
