"""Cron schedules: five-field cron in a time zone, and the planned times made up for after an outage. Pure.

cronsim reads the expression and walks the wall clock, which knows no time zones; here each reading of the clock is
turned into the moments at which the zone's clocks show it:

    clocks     a schedule for fixed hours             a schedule of intervals
    skip it    once, at the first moment after it     never
    repeat it  once, at the first of the two          each time
    else       once                                   once

As in Debian's cron, a schedule is one of intervals if its minute or its hour begins with ``*``.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from models.schedules import CatchUp

#: A planned time that is found no later than this fires whatever the catch-up says: a restart is not an outage.
ON_TIME = timedelta(minutes=5)
#: Clocks were never set back by more. From so far back the wall clock is walked, to see what it shows again.
LONGEST_STEP_BACK = timedelta(days=1)
MINUTE = timedelta(minutes=1)
#: The five fields: their names, and how many values each has.
FIELDS: Mapping[str, int] = {"minute": 60, "hour": 24, "day of month": 31, "month": 12, "day of week": 7}
_STEP = re.compile(r"/(\d{1,9})")
#: A step over all values, in every way to write it.
_EVERY = re.compile(r"(?:\*|0(?:-(?P<last>\d{1,2}))?)/(?P<step>\d{1,9})")


class ScheduleError(Exception):
    """Something about a schedule cannot be; the message names it and says what is allowed."""


@dataclass(frozen=True)
class CronSchedule:
    """A cron expression in a time zone.

    Raises:
        ScheduleError: the expression or the zone's name is wrong, or no time ever fits.
    """

    cron: str
    zone: str = "UTC"
    #: Whether it was accepted before: what is only not what people mean by it goes on as it did.
    kept: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        try:
            _ = self._zone
        except (KeyError, ValueError, OSError):
            raise ScheduleError(
                f"zone: {self.zone!r} is unknown; allowed: names such as Europe/Berlin, America/New_York or UTC"
            ) from None
        form = "allowed: minute hour day-of-month month day-of-week, such as '30 2 * * *' or '*/15 9-17 * * MON-FRI'"
        if len(self.cron.split()) != len(FIELDS):
            raise ScheduleError(f"cron: {self.cron!r} has {len(self.cron.split())} fields; {form}")
        try:
            next(CronSim(self.cron, datetime(2000, 1, 1)))  # noqa: DTZ001 - a reading of the wall clock
        except CronSimError as error:
            raise ScheduleError(f"cron: {self.cron!r}: {str(error).lower()}; {form}") from None
        except StopIteration:
            raise ScheduleError(f"cron: {self.cron!r} never matches a date; {form}") from None

        if not self.kept:
            self._refuse_steps_that_end()

    def _refuse_steps_that_end(self) -> None:
        for (name, size), text in zip(FIELDS.items(), self.cron.split(), strict=True):
            for step in map(int, _STEP.findall(text)):
                if step >= size:
                    raise ScheduleError(
                        f"cron: {self.cron!r}: the {name} /{step} never repeats, because there are {size} values:"
                        f" it fires as without it; write the values, or a step below {size}{_advice(name, step)}"
                    )

    def refuse_uneven_steps(self) -> None:
        """Refuse what people write for an interval and cron does not read as one.

        Raises:
            ScheduleError: says when it would fire, and how to write that, or an interval.
        """
        for name, text in list(zip(FIELDS, self.cron.split(), strict=True))[:2]:
            found = _EVERY.fullmatch(text)
            if found is None or int(found["last"] or FIELDS[name] - 1) != FIELDS[name] - 1:
                continue
            if FIELDS[name] % (step := int(found["step"])):
                listed = ",".join(map(str, range(0, FIELDS[name], step)))
                even = ", ".join(str(each) for each in range(2, FIELDS[name] // 2 + 1) if FIELDS[name] % each == 0)
                raise ScheduleError(
                    f"cron: {self.cron!r}: the {name} {text} begins anew at 0, so its intervals are uneven; if that is"
                    f" meant, write {listed}; even steps are {even}{_advice(name, step)}"
                )

    @property
    def intervals(self) -> bool:
        """Whether it goes by the time that passes, and not by fixed hours."""
        minute, hour, *_ = self.cron.split()
        return minute.startswith("*") or hour.startswith("*")

    @property
    def local(self) -> ZoneInfo:
        """The zone."""
        return self._zone

    def after(self, moment: datetime) -> Iterator[datetime]:
        """The planned times later than `moment`, in UTC, in their order."""
        begin = moment.astimezone(self._zone).replace(tzinfo=None) - LONGEST_STEP_BACK
        held: list[datetime] = []  # found, but an earlier one may still be found
        last = moment
        for wall in CronSim(self.cron, begin):
            shown = self._moments(wall)
            for found in shown:
                heapq.heappush(held, found)
            # First occurrences are in the order of the wall clock: what is not later than this one has none before it.
            while shown and held and held[0] <= shown[0]:
                found = heapq.heappop(held)
                if found > last:
                    last = found
                    yield found

    def next_after(self, moment: datetime) -> datetime:
        """The first planned time later than `moment`, in UTC."""
        return next(self.after(moment))

    def _moments(self, wall: datetime) -> list[datetime]:
        """The moments at which the schedule fires for a reading of the wall clock."""
        first = _moment(wall, self._zone, fold=0)
        if not _shows(first, wall, self._zone):
            return [] if self.intervals else [self._after_gap(wall)]
        second = _moment(wall, self._zone, fold=1)
        return [first, second] if self.intervals and second != first else [first]

    def _after_gap(self, wall: datetime) -> datetime:
        while not _shows(_moment(wall, self._zone, fold=0), wall, self._zone):
            wall += MINUTE
        return _moment(wall, self._zone, fold=0)

    @cached_property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)


def _advice(name: str, step: int) -> str:
    """What was probably meant by a step of minutes that are hours."""
    hours = step // 60
    if name != "minute" or step % 60 or not 1 <= hours < FIELDS["hour"]:
        return ""
    return f"; every {hours} h is '0 */{hours} * * *'" if hours > 1 else "; every hour is '0 * * * *'"


def _moment(wall: datetime, zone: ZoneInfo, *, fold: int) -> datetime:
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _shows(moment: datetime, wall: datetime, zone: ZoneInfo) -> bool:
    return moment.astimezone(zone).replace(tzinfo=None, fold=0) == wall


@dataclass(frozen=True, slots=True)
class Due:
    """What has come due: the times that fire, those of them that are made up for, what is left out, what comes next."""

    times: tuple[datetime, ...]
    #: The first so many of `times` are late and made up for.
    made_up: int
    #: Times that passed unnoticed and are left out.
    missed: tuple[datetime, ...]
    next_at: datetime


def due(cron: CronSchedule, next_at: datetime, now: datetime, catch_up: CatchUp, window: timedelta) -> Due:
    """What fires at `now` of a schedule whose next planned time was to be `next_at`.

    Args:
        cron: the schedule's.
        next_at: the first planned time not handled yet.
        now: the present.
        catch_up: of the times later than `ON_TIME`: none of them, the latest unless a later one is on time, or all.
        window: how late a time may be for `all` to make up for it.
    """
    passed = []
    following = next_at
    for following in cron.after(next_at - MINUTE):
        if following > now:
            break
        passed.append(following)
    on_time = [planned for planned in passed if now - planned <= ON_TIME]
    late = passed[: len(passed) - len(on_time)]
    made_up: list[datetime] = []
    if catch_up is CatchUp.LATEST and not on_time:
        made_up = late[-1:]
    elif catch_up is CatchUp.ALL:
        made_up = [planned for planned in late if now - planned <= window]
    return Due((*made_up, *on_time), len(made_up), tuple(late[: len(late) - len(made_up)]), following)
