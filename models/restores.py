"""Restores, and submissions that may have been made after the backup."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, SmallInteger, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Serial, Timestamp


class Restore(Base):
    """A time at which the database was replaced by its backup."""

    __tablename__ = "restores"

    id: Mapped[Serial]
    restored_at: Mapped[CreatedAt]
    #: New jobs until then may be ones that the backup missed, so they are searched for before they are sent.
    watch_until: Mapped[Timestamp]


class Search(Base):
    """A submission that a held job may have had after the backup: searched for, found, or left to a person.

    A row is searched for while it has `next_at`. One with a handle was found; one with neither is at an account whose
    API cannot be searched, so a person must say. Rows that are proven absent are deleted.
    """

    __tablename__ = "searches"
    __table_args__ = (Index("ix_searches_due", "account", "next_at", postgresql_where=text("next_at IS NOT NULL")),)

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    #: Of the attempt it would have been; with the job's id it gives the client reference.
    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    operation: Mapped[str]
    handle: Mapped[str | None]
    absences: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    looks: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    created_at: Mapped[CreatedAt]
    next_at: Mapped[Timestamp | None]
    #: Why it is left to a person.
    note: Mapped[str | None]
