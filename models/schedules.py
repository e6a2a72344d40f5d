"""Schedules: catalogs that run repeatedly, and their runs, with the state machine of a run as data.

run:      due -> running -> done
          due -> skipped | failed | canceled
          running -> canceled
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from models.base import Base, CreatedAt, Document, Money, Serial, Timestamp, one_of


class Overlap(StrEnum):
    """What a run does that is due while an earlier run of its schedule is not over."""

    SKIP = "skip"
    QUEUE = "queue"
    CANCEL = "cancel"


class CatchUp(StrEnum):
    """Which planned times are made up for after nothing ticked for a while."""

    NONE = "none"
    LATEST = "latest"
    ALL = "all"


class RunState(StrEnum):
    """The state of a run; the last four are ends."""

    #: Planned for a time that has come; nothing is enqueued yet.
    DUE = "due"
    #: Its catalog is enqueued, and jobs of it are open.
    RUNNING = "running"
    #: No job of it is open any more.
    DONE = "done"
    #: Nothing was enqueued: an earlier run was not over, or its time had passed unnoticed.
    SKIPPED = "skipped"
    #: Nothing was enqueued: the catalog could not be used.
    FAILED = "failed"
    #: A later run took over.
    CANCELED = "canceled"


RUN_MOVES: Mapping[RunState, frozenset[RunState]] = {
    RunState.DUE: frozenset({RunState.RUNNING, RunState.SKIPPED, RunState.FAILED, RunState.CANCELED}),
    RunState.RUNNING: frozenset({RunState.DONE, RunState.CANCELED}),
    RunState.DONE: frozenset(),
    RunState.SKIPPED: frozenset(),
    RunState.FAILED: frozenset(),
    RunState.CANCELED: frozenset(),
}


class Schedule(Base):
    """A catalog that is run again and again."""

    __tablename__ = "schedules"
    __table_args__ = (one_of("overlap", Overlap), one_of("catch_up", CatchUp))

    name: Mapped[str] = mapped_column(primary_key=True)
    catalog: Mapped[str]
    cron: Mapped[str]
    zone: Mapped[str] = mapped_column(server_default="UTC")
    #: How the catalog is run: see `workers.schedules.service.Options`.
    options: Mapped[Document] = mapped_column(server_default="{}")
    overlap: Mapped[str] = mapped_column(server_default="skip")
    catch_up: Mapped[str] = mapped_column(server_default="latest")
    #: How long past a planned time may be for `all` to make up for it.
    catch_up_seconds: Mapped[int] = mapped_column(server_default="86400")
    paused_at: Mapped[Timestamp | None]
    #: The next planned time. It moves on in the transaction that makes the runs of the times before it.
    next_at: Mapped[Timestamp | None]
    created_at: Mapped[CreatedAt]


class ScheduleRun(Base):
    """One planned time of a schedule, and what came of it; the pair is unique, so no time has two runs."""

    __tablename__ = "schedule_runs"
    __table_args__ = (
        one_of("state", RunState),
        one_of("overlap", Overlap),
        UniqueConstraint("schedule", "planned_at"),
        Index("ix_schedule_runs_open", "schedule", "planned_at", postgresql_where=text("state IN ('due', 'running')")),
    )

    id: Mapped[Serial]
    schedule: Mapped[str] = mapped_column(ForeignKey("schedules.name", ondelete="CASCADE"))
    planned_at: Mapped[Timestamp]
    #: A person asked for it; no planned time.
    by_hand: Mapped[bool] = mapped_column(server_default="false")
    #: Planned times before this one that were not made up for.
    missed: Mapped[int] = mapped_column(server_default="0")
    overlap: Mapped[str]
    state: Mapped[str] = mapped_column(server_default=RunState.DUE.value)
    #: Why it was skipped or canceled, or what was wrong.
    note: Mapped[str | None]
    #: A worker is reading the catalog until then; later any worker may.
    claimed_until: Mapped[Timestamp | None]
    tries: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id", ondelete="SET NULL"))
    started_at: Mapped[Timestamp | None]
    finished_at: Mapped[Timestamp | None]
    #: What the batch had spent when the run began.
    spent_before: Mapped[Money | None]
    cost: Mapped[Money | None]
    #: What became of the catalog's rows: {"new": 3, "unchanged": 97}.
    enqueued: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    #: How the jobs that ended during the run did: {"succeeded": 2, "failed": 1}.
    outcome: Mapped[dict[str, Any] | None] = mapped_column(JSONB)
    created_at: Mapped[CreatedAt]
