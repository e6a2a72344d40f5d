"""The record of who did what, written by the transaction that does it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor
from models.base import LAST_INTEGER
from models.batches import SINGLES_NAME

_NOTE = text("""
    INSERT INTO audit (person, via, action, subject, detail)
    VALUES (:person, :via, :action, :subject, cast(:detail AS jsonb))
""")
_LATEST = text("SELECT at, person, via, action, subject, detail FROM audit ORDER BY id DESC LIMIT :limit")

_PAGE = text("""
    SELECT id, at, person, via, action, subject, detail FROM audit WHERE id < :before ORDER BY id DESC LIMIT :limit
""")


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing that was done."""

    at: datetime
    person: str
    via: str
    action: str
    subject: str
    detail: dict[str, Any]


def note(session: Session, /, actor: Actor, action: str, subject: str, **detail: object) -> None:
    """Record what `actor` does. Passwords, notes and pictures' addresses do not belong here."""
    given = {name: value for name, value in detail.items() if value not in (None, "", [], ())}
    session.execute(
        _NOTE,
        {
            "person": actor.name, "via": actor.via, "action": action, "subject": subject,
            "detail": json.dumps(given, ensure_ascii=False),
        },
    )  # fmt: skip


def jobs_of(batch: str | None) -> str:
    """The subject of what is done to many jobs: those of a batch, or of several; or jobs that came one by one."""
    if batch == SINGLES_NAME:
        return "single jobs"
    return "jobs" if batch is None else f"batch {batch}"


def about(batches: Mapping[str, str]) -> str:
    """The subject of what is done to these jobs, one at least; each job's id comes with the name of its batch."""
    if len(batches) == 1:
        return f"job {next(iter(batches))}"
    names = set(batches.values())
    return jobs_of(names.pop() if len(names) == 1 else None)


def latest(session: Session, limit: int) -> Sequence[Entry]:
    """What was done last, newest first."""
    return [Entry(**row._mapping) for row in session.execute(_LATEST, {"limit": limit})]


def page(session: Session, limit: int, before: int | None = None) -> tuple[Sequence[Entry], int | None]:
    """Some entries, newest first, older than the one with the number `before`; and what selects the next ones."""
    given = {"before": LAST_INTEGER if before is None else min(before, LAST_INTEGER), "limit": limit + 1}
    rows = session.execute(_PAGE, given).all()
    entries = [Entry(row.at, row.person, row.via, row.action, row.subject, row.detail) for row in rows[:limit]]
    return entries, rows[limit - 1].id if len(rows) > limit else None
