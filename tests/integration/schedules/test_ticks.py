"""Ticks on a real database: any number of them at once, and one run for each planned time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.orm import Session

from models.schedules import CatchUp
from tests.integration.schedules.nightly import HOUR, MINUTE, Clock, fired
from tests.unit.workers.schedules.minute_walker import CHANGES, DAY, Cron, Field, walk
from workers.schedules.cron import ON_TIME
from workers.schedules.tick import plan

if TYPE_CHECKING:
    from tests.integration.database import Database
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]


def every(minutes: int) -> Field:
    return Field(f"*/{minutes}", set(range(0, 60, minutes)))


ANY_MINUTE, ANY_DAY = Field("*", set(range(60))), Field("*", set(range(1, 32)))
ANY_MONTH, ANY_WEEKDAY = Field("*", set(range(1, 13))), Field("*", set(range(7)))


def at(minute: Field, hour: Field) -> Cron:
    return Cron(minute, hour, ANY_DAY, ANY_MONTH, ANY_WEEKDAY)


#: At half past two at night; each two hours; every twenty minutes.
CRONS = (
    at(Field("30", {30}), Field("2", {2})),
    at(Field("15", {15}), Field("*/2", set(range(0, 24, 2)))),
    at(every(20), Field("*", set(range(24)))),
)


@pytest.mark.parametrize("change", [CHANGES[1], CHANGES[2], CHANGES[4]], ids=lambda change: change[0])
def test_three_ticks_at_once_fire_each_time_once(
    database: Database, runtime: Runtime, add: Callable[..., str], change: tuple[str, datetime]
) -> None:
    zone, day = change
    clock = Clock(day - 3 * HOUR)
    planned = {}
    for catch_up in CatchUp:
        for number, cron in enumerate(CRONS):
            name = f"{catch_up}-{number}"
            add(name, str(cron), zone, catch_up=catch_up, catch_up_seconds=30 * 3600, clock=clock)
            planned[name] = walk(cron, change, clock.now, day + 4 * DAY)
    # Looked at every four minutes around the change, then not for two days, and twice more.
    moments = [clock.now + number * 4 * MINUTE for number in range(1, 21 * 15)]
    moments += [moments[-1] + 2 * DAY, moments[-1] + 2 * DAY + timedelta(seconds=30)]

    with ThreadPoolExecutor(3) as beats:
        for clock.now in moments:
            for done in [beats.submit(database.run, plan, clock) for _ in range(3)]:
                done.result()

    outage, back = moments[-3], moments[-2]
    for name, times in planned.items():
        before = [moment for moment in times if moment <= outage]
        during = [moment for moment in times if outage < moment <= back]
        late = [moment for moment in during if back - moment > ON_TIME]
        punctual = [moment for moment in during if back - moment <= ON_TIME]
        made_up: Mapping[str, list[datetime]] = {
            "none": [],
            "latest": [] if punctual else late[-1:],
            "all": [moment for moment in late if back - moment <= timedelta(hours=30)],
        }
        again = made_up[name.partition("-")[0]]
        assert before, name
        assert len(late) > 1, name
        assert fired(database, name) == [*before, *again, *punctual], name
        (told,) = database.sql("SELECT sum(missed + CASE state WHEN 'skipped' THEN 1 ELSE 0 END) AS missed"
                               " FROM schedule_runs WHERE schedule = :name", name=name)  # fmt: skip
        assert told.missed == len(late) - len(again), f"{name}: the history tells what was left out"


def test_a_tick_that_dies_half_way_is_made_up_for_by_the_next(
    database: Database, runtime: Runtime, add: Callable[..., str]
) -> None:
    clock = Clock(datetime(2026, 6, 1, tzinfo=UTC))
    add(clock=clock)
    clock.now += 3 * MINUTE

    def die(session: Session) -> None:
        assert len(plan(session, clock)) == 3
        raise SystemExit

    with pytest.raises(SystemExit):
        database.run(die)
    assert fired(database, "nightly") == []

    database.run(plan, clock)
    assert len(fired(database, "nightly")) == 3
