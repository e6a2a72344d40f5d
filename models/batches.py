"""Batches, with the number of their jobs in each state."""

from __future__ import annotations

from sqlalchemy import ARRAY, ForeignKey, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Money, Timestamp


class Batch(Base):
    """The jobs of one catalog, and how many of them are in each state.

    The counts are kept by the transactions that move the jobs and verified by the sweep. Batch 0 holds the jobs that
    producers send one by one; its counts are not kept, because every producer would queue for that one row.
    """

    __tablename__ = "batches"
    __table_args__ = (UniqueConstraint("schedule", "planned_at"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(unique=True)
    label: Mapped[str | None]
    schedule: Mapped[str | None] = mapped_column(ForeignKey("schedules.name", ondelete="SET NULL"))
    planned_at: Mapped[Timestamp | None]
    #: Spending limit of this batch, in the deployment's currency.
    max_cost: Mapped[Money | None]
    paused_at: Mapped[Timestamp | None]
    #: A `PauseReason`.
    paused_reason: Mapped[str | None]
    #: Most jobs of this batch that may be at providers at the same time, over all accounts; NULL for no limit.
    max_in_flight: Mapped[int | None]
    #: Quality checks whose flags ask for a picture again, how often for one job, and what that may cost in all.
    redo_flagged: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    redo_each: Mapped[int | None]
    redo_cap: Mapped[Money | None]
    #: Days after which the pictures of ended jobs are removed from the storage; NULL keeps them.
    keep_days: Mapped[int | None]
    #: The path or address of the folder or catalog that it was made from (`catalog.origin`); NULL if not known.
    place: Mapped[str | None]
    created_at: Mapped[CreatedAt]
    queued: Mapped[int] = mapped_column(server_default="0")
    running: Mapped[int] = mapped_column(server_default="0")
    saving: Mapped[int] = mapped_column(server_default="0")
    succeeded: Mapped[int] = mapped_column(server_default="0")
    failed: Mapped[int] = mapped_column(server_default="0")
    rejected: Mapped[int] = mapped_column(server_default="0")
    canceled: Mapped[int] = mapped_column(server_default="0")
    held: Mapped[int] = mapped_column(server_default="0")
    #: When the sweep last verified the counts; NULL since they changed.
    counted_at: Mapped[Timestamp | None]
    #: Since when its jobs are being moved, or have moved, to `archives`; it takes no more.
    archived_at: Mapped[Timestamp | None]


#: The pseudo-batch of jobs that came one by one, and its name, by which filters of jobs mean it.
SINGLES = 0
SINGLES_NAME = ""
