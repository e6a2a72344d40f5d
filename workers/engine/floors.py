"""Where an account's queues begin, as its pumps last saw it, so that a look need not pass what was taken before it.

Jobs that left a queue stay in its index until vacuum removes them, which a transaction that is held open
prevents: after half an hour a million dead entries lie before the first job that waits, and a look from the beginning
passes them all. So only some looks are from the beginning; they alone find new queues, and what came back to a place
before the floor.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

#: Of the time, looks from the beginning may take a fiftieth: those that take 3 ms come every 150 ms.
PAUSE_FACTOR = 50
LONGEST_PAUSE_SECONDS = 120.0  # what came back waits no longer than that, whatever a look takes
#: Above every priority, which is a smallint: the floor of a queue that is looked at from its beginning.
HIGHEST = 32_768

#: A queue: a lane and a batch.
Queue = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Floor:
    """A place in a queue, which is ordered by falling priority and then by `seq`."""

    priority: int = HIGHEST
    seq: int = 0

    def __lt__(self, other: Floor) -> bool:
        return (-self.priority, self.seq) < (-other.priority, other.seq)


BEGINNING = Floor()


@dataclass(slots=True)
class Looks:
    """When to look from the beginning again. Times are of one monotonic clock, in seconds."""

    _due_at: float = 0.0

    def is_due(self, now: float) -> bool:
        """Whether the next look is from the beginning."""
        return now >= self._due_at

    def took(self, began: float, ended: float) -> None:
        """Note what a look from the beginning took: the longer, the later comes the next one."""
        self._due_at = ended + min(PAUSE_FACTOR * (ended - began), LONGEST_PAUSE_SECONDS)

    def at_once(self) -> None:
        """Let the next look be from the beginning."""
        self._due_at = 0.0


@dataclass(slots=True)
class Floors(Looks):
    """The floors of one account's queues of jobs."""

    _floors: dict[Queue, Floor] = field(default_factory=dict)

    def is_due(self, now: float) -> bool:
        """Whether the next look is from the beginning."""
        return not self._floors or Looks.is_due(self, now)

    @property
    def queues(self) -> list[Queue]:
        """The queues that the last look from the beginning found."""
        return list(self._floors)

    def floor(self, queue: Queue) -> Floor:
        """Where to look from."""
        return self._floors.get(queue, BEGINNING)

    def looked(self, queues: Iterable[Queue]) -> None:
        """Note the queues that a look from the beginning found."""
        self._floors = dict.fromkeys(queues, BEGINNING)

    def claimed(self, places: Iterable[tuple[Queue, Floor]]) -> None:
        """Note the places of jobs that were claimed together: before the first of each queue, all is done."""
        first: dict[Queue, Floor] = {}
        for queue, place in places:
            first[queue] = min(first.get(queue, place), place)
        self._floors.update({queue: place for queue, place in first.items() if queue in self._floors})


#: How much earlier than a look a time may be that was written into a row, and that the look did not see yet.
UNSEEN = timedelta(seconds=5)


@dataclass(slots=True)
class DueFloor(Looks):
    """The time from which on an account's attempts are due that its poll pump has not taken."""

    since: datetime | None = None

    def of(self, now: float) -> datetime | None:
        """The time to look from; None looks from the beginning."""
        return None if self.is_due(now) else self.since

    def took_all(self, until: datetime) -> None:
        """Note that all that was due until then was taken."""
        self.since = until - UNSEEN
