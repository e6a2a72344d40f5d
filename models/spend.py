"""Money committed, by scope and period."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Money


class Spend(Base):
    """Money promised so far within a scope and a period; locked in the transaction that inserts an attempt.

    `scope` is ``account:NAME`` or ``batch:ID``; `period` is ``day:2026-01-31``, ``month:2026-01`` (UTC) or ``all``.
    """

    __tablename__ = "spend"

    scope: Mapped[str] = mapped_column(primary_key=True)
    period: Mapped[str] = mapped_column(primary_key=True)
    amount: Mapped[Money] = mapped_column(server_default="0")
