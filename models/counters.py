"""Counters: numbers that only grow, for metrics."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt


class Counter(Base):
    """A number that only grows, for metrics: `labels` is a JSON object as text, with its names in order."""

    __tablename__ = "tallies"

    name: Mapped[str] = mapped_column(primary_key=True)
    labels: Mapped[str] = mapped_column(primary_key=True)
    value: Mapped[float]
    last_at: Mapped[CreatedAt]
