"""The schedules' rows: what people add, change and list."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Self

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.schedules import CatchUp, Overlap, RunState
from models.spend import spent_by
from recast.hints import hint, meant
from workers.jobs.run_options import DEFAULTS, RunOptions
from workers.schedules.cron import CronSchedule, ScheduleError
from workers.schedules.tick import Clock, database_clock, end, plan

MAX_NAME = 150  # characters; a fresh batch's name has the planned time behind it


class UnknownScheduleError(ScheduleError):
    """No schedule has that name."""

    def __init__(self, name: str, close: tuple[str, ...] = ()) -> None:
        super().__init__(name, close)
        self.name = name
        self.close = close

    def __str__(self) -> str:
        advice = meant(self.close) or f"{hint('schedule list')} shows all"
        return f"schedule {self.name!r} does not exist; {advice}"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What is asked for: which catalog, when, how it is run, and what happens when things do not go as planned."""

    name: str
    catalog: str
    cron_schedule: CronSchedule
    overlap: Overlap = Overlap.SKIP
    catch_up: CatchUp = CatchUp.LATEST
    #: How late a planned time may be for `CatchUp.ALL` to make up for it.
    catch_up_seconds: int = 86_400
    options: RunOptions = DEFAULTS

    def __post_init__(self) -> None:
        self.cron_schedule.refuse_uneven_steps()
        if not self.name or self.name != self.name.strip() or not self.name.isprintable() or len(self.name) > MAX_NAME:
            raise ScheduleError(
                f"name: {self.name[:80]!r} is not allowed; allowed: 1 to {MAX_NAME} printable characters"
            )
        if not 0 < self.catch_up_seconds < 2**31:
            raise ScheduleError(f"window: {self.catch_up_seconds} s is not allowed; allowed: 1 second to 68 years")
        if isinstance(self.options.deadline, datetime):
            raise ScheduleError(
                f"deadline: {self.options.deadline.isoformat()} is one moment, and a schedule runs again and again; "
                "allowed: a time from each run's start, such as 2h or 3d"
            )


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the history."""

    planned_at: datetime
    state: str
    by_hand: bool
    missed: int
    note: str | None
    batch: str | None
    started_at: datetime | None
    finished_at: datetime | None
    enqueued: Mapping[str, int] | None
    outcome: Mapping[str, int] | None
    cost: Decimal | None


@dataclass(frozen=True, slots=True)
class AskedRun:
    """A run that was asked for; it is not new where its second had one already."""

    id: int
    new: bool


@dataclass(frozen=True, slots=True)
class ScheduleStatus:
    """A schedule, when it fires next, and its latest run."""

    name: str
    catalog: str
    cron: str
    zone: str
    overlap: str
    catch_up: str
    catch_up_seconds: int
    options: RunOptions
    paused_at: datetime | None
    next_at: datetime | None
    last: Run | None

    @classmethod
    def read(cls, session: Session, row: Row[Any]) -> Self:
        """What a schedule's row says."""
        found = dict(row._mapping)
        found.pop("created_at")
        found["options"] = RunOptions.read(row.options)
        if row.paused_at is not None:
            found["next_at"] = None
        latest = history(session, row.name, 1)
        return cls(**found, last=latest[0] if latest else None)


_ADD = text("""
    INSERT INTO schedules (name, catalog, cron, zone, options, overlap, catch_up, catch_up_seconds, next_at)
    VALUES (:name, :catalog, :cron, :zone, cast(:options AS jsonb), :overlap, :catch_up, :catch_up_seconds, :next_at)
    ON CONFLICT (name) DO UPDATE SET
        catalog = excluded.catalog, cron = excluded.cron, zone = excluded.zone, options = excluded.options,
        overlap = excluded.overlap, catch_up = excluded.catch_up, catch_up_seconds = excluded.catch_up_seconds,
        next_at = excluded.next_at
    WHERE :replace
    RETURNING name
""")

# What a run that is not over has cost and how its jobs do is looked up; of one that is over it is written down.
_HISTORY = text(f"""
    SELECT r.planned_at, r.state, r.by_hand, r.missed, r.note, b.name AS batch, r.started_at, r.finished_at,
        r.enqueued, CASE WHEN r.state = 'running' THEN (
            SELECT coalesce(jsonb_object_agg(state, number), '{{}}') FROM (
                SELECT state, count(*) AS number FROM jobs
                WHERE batch_id = r.batch_id AND (finished_at IS NULL OR finished_at >= r.started_at) GROUP BY state
            ) now) ELSE r.outcome END AS outcome,
        CASE WHEN r.state = 'running' THEN {spent_by("r.batch_id")} - r.spent_before ELSE r.cost END AS cost
    FROM schedule_runs r LEFT JOIN batches b ON b.id = r.batch_id
    WHERE r.schedule = :name ORDER BY r.planned_at DESC LIMIT :limit
""")
_FIND = text("SELECT * FROM schedules WHERE name = :name")
_LOCK = text("SELECT name FROM schedules WHERE name = :name FOR NO KEY UPDATE")
_NAMES = text("SELECT name FROM schedules")
_ALL = text("SELECT * FROM schedules ORDER BY name")
_PAUSE = text("UPDATE schedules SET paused_at = coalesce(paused_at, :now) WHERE name = :name")
_RESUME = text("UPDATE schedules SET paused_at = NULL, next_at = :next_at WHERE name = :name")
_REMOVE = text("DELETE FROM schedules WHERE name = :name")
_RUN_NOW = text("""
    INSERT INTO schedule_runs (schedule, planned_at, overlap, by_hand) VALUES (:name, :now, :overlap, true)
    ON CONFLICT (schedule, planned_at) DO UPDATE SET by_hand = true RETURNING id, xmax = 0 AS new
""")
# Asked for, and paid for, as the schedule was then; a worker that reads its catalog cannot begin it any more.
_OUTDATED = text("""
    SELECT r.id FROM schedule_runs r JOIN schedules s ON s.name = r.schedule
    WHERE s.name = :name AND r.state = 'due' AND r.by_hand
        AND (s.catalog <> :catalog OR s.options <> cast(:options AS jsonb)) ORDER BY r.id
""")


def add(session: Session, wanted: Agreement, *, replace: bool = False, clock: Clock = database_clock) -> ScheduleStatus:
    """Add a schedule, which fires from now on; with `replace` one of that name is changed, and keeps its runs.

    A run that was asked for and has not begun is skipped where it would be another one now.

    Raises:
        ScheduleError: there is one of that name, and it is not to be replaced.
    """
    lock(session, wanted.name)
    plan(session, clock, wanted.name)  # what the old cron expression planned until now stays planned
    row = {
        "name": wanted.name, "catalog": wanted.catalog,
        "cron": wanted.cron_schedule.cron, "zone": wanted.cron_schedule.zone,
        "options": json.dumps(wanted.options.document()), "overlap": wanted.overlap.value,
        "catch_up": wanted.catch_up.value, "catch_up_seconds": wanted.catch_up_seconds,
        "next_at": wanted.cron_schedule.next_after(clock(session)), "replace": replace,
    }  # fmt: skip
    outdated = list(session.execute(_OUTDATED, {name: row[name] for name in ("name", "catalog", "options")}).scalars())
    if session.execute(_ADD, row).first() is None:
        raise ScheduleError(f"schedule {wanted.name!r} already exists; use --replace to change it")
    end(session, outdated, RunState.SKIPPED, "the schedule was changed before it began; run it again")
    return find(session, wanted.name)


def lock(session: Session, name: str) -> None:
    """Let nobody else change a schedule, or claim a run of it, until this transaction ends."""
    session.execute(_LOCK, {"name": name})


def find(session: Session, name: str) -> ScheduleStatus:
    """The schedule called `name`.

    Raises:
        UnknownScheduleError: there is none.
    """
    row = session.execute(_FIND, {"name": name}).first()
    if row is None:
        names = list(session.execute(_NAMES).scalars())
        raise UnknownScheduleError(name, tuple(difflib.get_close_matches(name, names)))
    return ScheduleStatus.read(session, row)


def everything(session: Session) -> list[ScheduleStatus]:
    """All schedules, by name."""
    rows = session.execute(_ALL).all()
    return [ScheduleStatus.read(session, row) for row in rows]


def history(session: Session, name: str, limit: int) -> list[Run]:
    """The latest runs of a schedule, newest first."""
    return [Run(**row._mapping) for row in session.execute(_HISTORY, {"name": name, "limit": limit})]


def pause(session: Session, name: str, *, clock: Clock = database_clock) -> ScheduleStatus:
    """Pause a schedule: its planned times pass and are not made up for. Its jobs continue."""
    find(session, name)
    plan(session, clock, name)
    session.execute(_PAUSE, {"name": name, "now": clock(session)})
    return find(session, name)


def resume(session: Session, name: str, *, clock: Clock = database_clock) -> ScheduleStatus:
    """Let a schedule fire again, from its next planned time on."""
    found = find(session, name)
    if found.paused_at is not None:
        next_at = CronSchedule(found.cron, found.zone, kept=True).next_after(clock(session))
        session.execute(_RESUME, {"name": name, "next_at": next_at})
    return find(session, name)


def remove(session: Session, name: str) -> None:
    """Remove a schedule with its history; its batches stay, and their jobs continue."""
    find(session, name)
    session.execute(_REMOVE, {"name": name})


def run_now(session: Session, name: str, *, clock: Clock = database_clock) -> AskedRun:
    """Make a run for this second, paused or not."""
    found = find(session, name)
    now = clock(session).replace(microsecond=0)
    return AskedRun(*session.execute(_RUN_NOW, {"name": name, "now": now, "overlap": found.overlap}).one())
