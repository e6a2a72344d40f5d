"""Signs of life: what the processes of this machine last said of themselves, and which pumps no worker runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.fragments import since
from recast.hints import hint
from reports.text import duration
from workers.heartbeats import judge

LAG_SECONDS = 60.0  # a pump this late is not woken, or no worker runs it: the sweep wakes it again within seconds

_LATE = text(f"""
    SELECT name, {since("least(wake_at, until)")} AS seconds FROM leases
    WHERE (until IS NULL OR until < clock_timestamp()) AND {since("least(wake_at, until)")} > :seconds
    ORDER BY name
""")
_RUNNING = text("SELECT count(*) FROM leases WHERE until >= clock_timestamp()")
_ALL = text(f"""
    SELECT name, owner, wake_at, coalesce(until >= clock_timestamp(), false) AS running,
        {since("least(wake_at, until)")} AS seconds
    FROM leases ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class Sign:
    """The heartbeat of one process of this machine."""

    name: str
    path: Path
    #: Seconds since it was written; None where it cannot be read.
    age: float | None
    #: What is wrong, a sentence for each; empty when all is well.
    reasons: Sequence[str]

    @property
    def advice(self) -> str:
        """What to do about a process that is not well."""
        return f"read the log of that process; if the process was removed for good, delete {self.path}"


@dataclass(frozen=True, slots=True)
class Pumps:
    """How many pumps run now, and how late those are that should."""

    running: int
    late: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Pump:
    """One pump: the worker that runs it now, or when it is due, and by how many seconds it is late, if it is."""

    name: str
    owner: str | None
    wake_at: datetime | None
    late: float | None


def heartbeats(home: Path) -> list[Sign]:
    """What each process of this machine says; processes of other machines keep their files there."""
    found = []
    for path in sorted((home / "health").glob("*.json")):
        verdict = judge(path)
        found.append(Sign(path.stem, path, verdict.age, verdict.reasons))
    return found


def pumps(session: Session) -> Pumps:
    """The pumps, from the database: those of all machines."""
    late = {row.name: row.seconds for row in session.execute(_LATE, {"seconds": LAG_SECONDS})}
    return Pumps(session.execute(_RUNNING).scalar_one(), late)


def every_pump(session: Session) -> Sequence[Pump]:
    """All pumps, by name."""
    return [
        Pump(row.name, row.owner if row.running else None, row.wake_at, _late(row)) for row in session.execute(_ALL)
    ]


def _late(row: Row[Any]) -> float | None:
    is_late = not row.running and row.seconds is not None and row.seconds > LAG_SECONDS
    return row.seconds if is_late else None


def start() -> str:
    """What to do about a pump that is late."""
    return f"start {hint('worker')} and {hint('beat')}, or read their logs"


def late_text(late: Mapping[str, float]) -> str:
    """Which pumps are late, in words."""
    return "late: " + ", ".join(f"{name} by {duration(seconds)}" for name, seconds in sorted(late.items()))
