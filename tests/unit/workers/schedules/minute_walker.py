"""When a schedule fires, by looking at every minute: slow, and so simple that it is plainly right."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
REACH = 4 * DAY  # before and after a change
DAYS_OF_WEEK = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")

#: Zones and days about their changes of 2026: an hour at night, half an hour, an hour at midnight.
CHANGES = (
    ("Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 4, 5, tzinfo=UTC)),
    ("America/Santiago", datetime(2026, 9, 6, tzinfo=UTC)),
)


@dataclass(frozen=True)
class Field:
    """A field of a cron expression: as it is written, and what it allows."""

    text: str
    allowed: AbstractSet[int]


@dataclass(frozen=True)
class Cron:
    """A cron expression whose meaning is known without reading it."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field

    def __str__(self) -> str:
        return " ".join(field.text for field in (self.minute, self.hour, self.day, self.month, self.weekday))

    @property
    def intervals(self) -> bool:
        return "*" in (self.minute.text[0], self.hour.text[0])

    def fits(self, wall: datetime) -> bool:
        if (
            wall.minute not in self.minute.allowed
            or wall.hour not in self.hour.allowed
            or wall.month not in self.month.allowed
        ):
            return False
        day, weekday = wall.day in self.day.allowed, wall.isoweekday() % 7 in self.weekday.allowed
        both = "*" in (self.day.text[0], self.weekday.text[0])
        return day and weekday if both else day or weekday


@lru_cache(maxsize=len(CHANGES))
def clock(zone: str, day: datetime) -> list[tuple[datetime, datetime, list[datetime]]]:
    """For each minute of the days about `day`: the moment, what the wall clock shows, and what it shows or skips anew.

    The last is empty while the clock repeats itself, and holds several readings after it has skipped some.
    """
    shown: list[tuple[datetime, datetime, list[datetime]]] = []
    moment = day - REACH
    latest = _wall(moment, zone)
    while (moment := moment + MINUTE) <= day + REACH:
        wall = _wall(moment, zone)
        fresh = []
        while latest < wall:
            latest += MINUTE
            fresh.append(latest)
        shown.append((moment, wall, fresh))
    return shown


def walk(cron: Cron, change: tuple[str, datetime], begin: datetime, end: datetime) -> list[datetime]:
    """Every moment in (begin, end] at which `cron` fires, within four days of the change."""
    zone, day = change
    assert day - REACH <= begin <= end <= day + REACH
    shown = clock(zone, day)
    first = (begin - day + REACH) // MINUTE  # the first moment that is later than `begin`
    repeats = cron.intervals
    found = []
    for moment, wall, fresh in shown[first:]:
        if moment > end:
            break
        if any(map(cron.fits, [wall] if repeats else fresh)):
            found.append(moment)
    return found


def _wall(moment: datetime, zone: str) -> datetime:
    return moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None, fold=0)


def _steps(low: int, high: int, steps: tuple[int, ...]) -> st.SearchStrategy[Field]:
    return st.sampled_from(steps).map(lambda step: Field(f"*/{step}", set(range(low, high + 1, step))))


def _listed(low: int, high: int) -> st.SearchStrategy[Field]:
    return st.sets(st.integers(low, high), min_size=1, max_size=4).map(
        lambda found: Field(",".join(map(str, sorted(found))), found)
    )


def _ranges(low: int, high: int) -> st.SearchStrategy[Field]:
    ends = st.tuples(st.integers(low, high), st.integers(low, high)).map(sorted)
    return ends.map(lambda pair: Field(f"{pair[0]}-{pair[1]}", set(range(pair[0], pair[1] + 1))))


def _any(low: int, high: int) -> st.SearchStrategy[Field]:
    return st.just(Field("*", set(range(low, high + 1))))


def _days_of_week() -> st.SearchStrategy[Field]:
    return st.sets(st.integers(0, 6), min_size=1, max_size=5).map(
        lambda found: Field(",".join(DAYS_OF_WEEK[day] for day in sorted(found)), found)
    )


#: Expressions that fire within a few days of any day, most of them in the hours in which clocks are changed.
CRONS = st.builds(
    Cron,
    minute=_listed(0, 59) | _steps(0, 59, (1, 5, 7, 20, 30, 45)) | _any(0, 59),
    hour=_listed(0, 3) | _ranges(0, 4) | _listed(0, 23) | _steps(0, 23, (2, 3, 5)) | _any(0, 23),
    day=_any(1, 31) | _listed(1, 31) | _steps(1, 31, (2, 3)),
    month=_any(1, 12) | _ranges(1, 12),
    weekday=_any(0, 6) | _days_of_week(),
)
