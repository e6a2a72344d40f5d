"""PiktID's inbox: one for each account, shared by all its jobs.

From PiktID's page "Notification read": an event is delivered with every call until it is deleted, and vanishes 600 s
after its creation. Events follow from the jobs, so that only deletions need be kept: after a restart the same events
stand under the same ids.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.jobs import Job, Jobs
from sandbox.store import Store

DOWNLOAD_SECONDS = 2.0  # after `swap`, for every second job
EVENTS_PER_JOB = 4  # at most; an event's id is its job's number times this, plus its place

SCHEMA = "CREATE TABLE IF NOT EXISTS deleted_events (id INTEGER PRIMARY KEY) STRICT;"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to `job`; `at` in epoch seconds."""

    id: int
    name: str
    at: float
    job: Job


class Inbox:
    """The events of all accounts that have not been deleted and have not vanished."""

    def __init__(self, store: Store, expire: float) -> None:
        self._store = store
        self._expire = expire
        store.create(SCHEMA)
        self._deleted = {number for (number,) in store.read("SELECT id FROM deleted_events")}
        self._events: defaultdict[str, dict[int, Event]] = defaultdict(dict)

    def load(self, jobs: Jobs, provider: str, now: float) -> None:
        """Put in the events of the jobs that ended before a restart and can still be read of."""
        for job in jobs.ready_after(now - self._expire, provider=provider):
            self.put(job)

    def put(self, job: Job) -> None:
        """Put in the events of a job whose end is known; each shows when its time has come."""
        events = self._events[job.account]
        for event in _events(job):
            if event.id not in self._deleted:
                events[event.id] = event

    def read(self, account: str, now: float) -> list[Event]:
        """Return an account's events, the oldest first."""
        events = self._events[account]
        for event in [event for event in events.values() if event.at + self._expire <= now]:
            del events[event.id]
        return sorted((event for event in events.values() if event.at <= now), key=lambda event: (event.at, event.id))

    async def delete(self, account: str, number: int, now: float) -> bool:
        """Delete an event for good; False if the account has none with this id that can be read."""
        event = self._events[account].get(number)
        if event is None or not event.at <= now < event.at + self._expire:
            return False
        del self._events[account][number]
        self._deleted.add(number)
        self._store.write("INSERT OR IGNORE INTO deleted_events VALUES (?)", (number,))
        await self._store.committed()
        return True


def _events(job: Job) -> Iterator[Event]:
    """Return what an account hears of a job: progress half-way, then the results, or an error."""
    if job.lost:
        return
    first = job.id * EVENTS_PER_JOB
    if job.error:
        yield Event(first, "error", job.ready_at, job)
        return
    yield Event(first, "new_generation", (job.accepted_at + job.ready_at) / 2, job)
    yield Event(first + 1, "swap", job.ready_at, job)
    if job.notes["download"]:
        later = 0.0 if job.id % 2 else DOWNLOAD_SECONDS
        yield Event(first + 2, "download", job.ready_at + later, job)
