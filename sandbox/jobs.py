"""The jobs: one durable row for each accepted submission, which is a job and a line of the bill at once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from sandbox.store import Store

SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    provider TEXT NOT NULL,
    operation TEXT NOT NULL,
    account TEXT NOT NULL,
    reference TEXT,
    handle TEXT NOT NULL,
    accepted_at REAL NOT NULL,
    ready_at REAL NOT NULL,
    pictures INTEGER NOT NULL,
    amount TEXT NOT NULL,
    recipe TEXT NOT NULL,
    notes TEXT NOT NULL,
    finished INTEGER NOT NULL,
    error TEXT,
    detail TEXT,
    lost INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_handle ON jobs (provider, handle);
CREATE INDEX IF NOT EXISTS jobs_unfinished ON jobs (id) WHERE NOT finished;
CREATE INDEX IF NOT EXISTS jobs_ready ON jobs (ready_at);
"""


@dataclass(frozen=True, slots=True)
class Submission:
    """What a provider accepted: to be billed, and made from `recipe`. `notes` are the provider's own."""

    provider: str
    operation: str
    account: str
    reference: str | None
    handle: str
    pictures: int
    amount: str
    accepted_at: float
    ready_at: float
    recipe: dict[str, Any]
    notes: dict[str, Any]
    finished: bool
    lost: bool = False
    error: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Job(Submission):
    """A submission under its line number. `error` says why no picture can be made; `lost` jobs answer no poll."""

    id: int = 0

    def state(self, now: float) -> str:
        """Return "pending", "failed" or "done" at `now` (epoch seconds)."""
        if not self.finished or now < self.ready_at:
            return "pending"
        return "failed" if self.error else "done"


NAMES = tuple(field.name for field in fields(Submission))
COLUMNS = ", ".join((*NAMES, "id"))


class Jobs:
    """The table of accepted submissions."""

    def __init__(self, store: Store) -> None:
        self._store = store
        store.create(SCHEMA)

    async def add(self, submission: Submission) -> Job:
        """Insert `submission` and return it as a job once it is committed."""
        values = {name: getattr(submission, name) for name in NAMES}
        cells = [json.dumps(value) if isinstance(value, dict) else value for value in values.values()]
        marks = ", ".join("?" * len(cells))
        query = f"INSERT INTO jobs ({', '.join(NAMES)}) VALUES ({marks})"  # noqa: S608 (column names and marks only)
        number = self._store.write(query, cells).lastrowid or 0
        await self._store.committed()
        return Job(**values, id=number)

    async def finish(self, number: int, error: str | None, detail: str | None) -> None:
        """Write down that the pictures of a job are made, or why they cannot be."""
        self._store.write("UPDATE jobs SET finished = 1, error = ?, detail = ? WHERE id = ?", (error, detail, number))
        await self._store.committed()

    async def find(self, provider: str, handle: str, *, account: str, operation: str | None = None) -> Job | None:
        """Return the newest job an account submitted under `handle`."""
        await self._store.settled()
        row = self._store.read(
            f"SELECT {COLUMNS} FROM jobs WHERE provider = ? AND handle = ? AND account = ?"  # noqa: S608
            " AND operation = coalesce(?, operation) ORDER BY id DESC LIMIT 1",
            (provider, handle, account, operation),
        ).fetchone()
        return _job(row) if row else None

    async def under(self, provider: str, prefix: str, *, account: str | None) -> list[Job]:
        """Return the jobs, of an account or of any, whose handles begin with `prefix`, in order of acceptance."""
        await self._store.settled()
        rows = self._store.read(
            f"SELECT {COLUMNS} FROM jobs WHERE provider = ? AND handle >= ? AND handle < ?"  # noqa: S608
            " AND account = coalesce(?, account) ORDER BY id",
            (provider, prefix, prefix + chr(0x10FFFF), account),
        )
        return list(map(_job, rows))

    def get(self, number: int) -> Job | None:
        """Return the job with this line number."""
        row = self._store.read(f"SELECT {COLUMNS} FROM jobs WHERE id = ?", (number,)).fetchone()  # noqa: S608
        return _job(row) if row else None

    def unfinished(self) -> list[Job]:
        """Return the jobs whose pictures were not made when the last sandbox died."""
        return list(map(_job, self._store.read(f"SELECT {COLUMNS} FROM jobs WHERE NOT finished ORDER BY id")))  # noqa: S608

    def ready_after(self, now: float, *, provider: str | None = None) -> list[Job]:
        """Return the finished jobs whose results nobody can have before `now` (epoch seconds)."""
        rows = self._store.read(
            f"SELECT {COLUMNS} FROM jobs WHERE finished AND ready_at > ? AND provider = coalesce(?, provider)"  # noqa: S608
            " ORDER BY id",
            (now, provider),
        )
        return list(map(_job, rows))

    async def all(self, *, provider: str | None = None, account: str | None = None) -> Iterator[Job]:
        """Go over the committed jobs in the order of their acceptance."""
        await self._store.settled()
        rows = self._store.read(
            f"SELECT {COLUMNS} FROM jobs WHERE provider = coalesce(?, provider)"  # noqa: S608
            " AND account = coalesce(?, account) ORDER BY id",
            (provider, account),
        )
        return map(_job, rows)

    async def count(self) -> int:
        """Return the number of lines on the bill."""
        await self._store.settled()
        return int(self._store.read("SELECT count(*) FROM jobs").fetchone()[0])


def _job(row: tuple[Any, ...]) -> Job:
    """Build a job from a row of `COLUMNS`."""
    values = dict(zip((*NAMES, "id"), row, strict=True))
    for name in ("recipe", "notes"):
        values[name] = json.loads(values[name])
    for name in ("finished", "lost"):
        values[name] = bool(values[name])
    return Job(**values)
