"""Completion notices: Celery tasks that wait for the end of a job."""

from __future__ import annotations

from sqlalchemy import ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Timestamp


class CompletionNotice(Base):
    """A Celery task id that waits for a job's end, with the canvas that Celery would have acted on."""

    __tablename__ = "announcements"
    __table_args__ = (
        Index("ix_announcements_waiting", "job_id", postgresql_where=text("announced_at IS NULL")),
        Index("ix_announcements_job_id", "job_id"),
    )

    task_id: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    #: The task's request (links, chain, chord, group, ids), as kombu's JSON text.
    canvas: Mapped[str]
    created_at: Mapped[CreatedAt]
    announced_at: Mapped[Timestamp | None]
