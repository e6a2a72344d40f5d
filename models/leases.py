"""Leases: which worker may run a pump, and when it is due next."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, Timestamp


class Lease(Base):
    """Who may run a pump, by the database's clock, and when the pump wants to run next."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    owner: Mapped[str | None]
    until: Mapped[Timestamp | None]
    #: Grows at the end of every slice; a pump's message carries the one it was published with.
    generation: Mapped[int] = mapped_column(server_default="0")
    wake_at: Mapped[Timestamp | None]
