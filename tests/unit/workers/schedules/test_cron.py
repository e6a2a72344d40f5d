"""When schedules fire: held against a walk over every minute, across changes of the clock and after outages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.schedules import CatchUp
from tests.unit.workers.schedules.minute_walker import CHANGES, CRONS, DAY, MINUTE, Cron, walk
from tests.words import names
from workers.config.settings import Settings
from workers.messaging.app import configuration
from workers.schedules.cron import ON_TIME, CronSchedule, ScheduleError, due
from workers.schedules.service import Agreement

pytestmark = pytest.mark.heavy

HOUR = timedelta(hours=1)
WINDOW = timedelta(hours=30)


def between(cron: str, zone: str, begin: datetime, end: datetime) -> list[datetime]:
    """Moments in (begin, end] at which a schedule fires."""
    return list(takewhile(lambda moment: moment <= end, CronSchedule(cron, zone).after(begin)))


def local(moments: Sequence[datetime], zone: str) -> list[str]:
    return [f"{moment.astimezone(CronSchedule('* * * * *', zone).local):%m-%d %H:%M %Z}" for moment in moments]


@settings(max_examples=200)
@given(cron=CRONS, change=st.sampled_from(CHANGES), back=st.integers(0, 40).map(lambda hours: hours * HOUR))
def test_a_cron_schedule_is_what_a_walk_over_every_minute_finds(
    cron: Cron, change: tuple[str, datetime], back: timedelta
) -> None:
    zone, day = change
    begin, end = day + 4 * HOUR - back, day + 2 * DAY
    try:
        found = between(str(cron), zone, begin, end)
    except ScheduleError:
        assert cron.month.allowed.isdisjoint({day.month, day.month + 1}) or min(cron.day.allowed) > 29
        return

    assert found == walk(cron, change, begin, end)


@settings(max_examples=50)
@given(cron=CRONS, change=st.sampled_from(CHANGES), minutes=st.integers(0, 4 * 24 * 60))
def test_it_does_not_matter_where_the_looking_begins(cron: Cron, change: tuple[str, datetime], minutes: int) -> None:
    zone, day = change
    begin, end = day - 2 * DAY, day + 2 * DAY
    middle = begin + minutes * MINUTE
    try:
        whole = between(str(cron), zone, begin, end)
    except ScheduleError:
        return

    assert between(str(cron), zone, begin, middle) + between(str(cron), zone, middle, end) == whole


@pytest.mark.parametrize(
    ("zone", "day", "cron", "fires"),
    [
        ("Europe/Berlin", (2026, 3, 29), "30 2 * * *", ["03-29 03:00 CEST"]),
        ("Europe/Berlin", (2026, 3, 29), "0,30 2,3 * * *", ["03-29 03:00 CEST", "03-29 03:30 CEST"]),
        ("Europe/Berlin", (2026, 3, 29), "*/30 2 * * *", []),
        ("Europe/Berlin", (2026, 3, 29), "30 1-3 * * *", ["03-29 01:30 CET", "03-29 03:00 CEST", "03-29 03:30 CEST"]),
        ("Europe/Berlin", (2026, 10, 25), "30 2 * * *", ["10-25 02:30 CEST"]),
        ("Europe/Berlin", (2026, 10, 25), "*/30 2 * * *", [
            "10-25 02:00 CEST", "10-25 02:30 CEST", "10-25 02:00 CET", "10-25 02:30 CET",
        ]),
        ("America/New_York", (2026, 3, 8), "30 2 * * *", ["03-08 03:00 EDT"]),
        ("America/New_York", (2026, 11, 1), "30 1 * * *", ["11-01 01:30 EDT"]),
        ("Australia/Lord_Howe", (2026, 10, 4), "15 2 * * *", ["10-04 02:30 +11"]),
        ("Australia/Lord_Howe", (2026, 4, 5), "45 1 * * *", ["04-05 01:45 +11"]),
        ("Australia/Lord_Howe", (2026, 4, 5), "0 */3 * * *", [f"04-05 {hour:02}:00 +{'11' if hour < 2 else '1030'}"
                                                              for hour in range(0, 24, 3)]),
        ("America/Santiago", (2026, 9, 6), "0 0 * * *", ["09-06 01:00 -03"]),
        ("Pacific/Apia", (2011, 12, 31), "0 12 * * *", ["12-31 00:00 +14", "12-31 12:00 +14"]),
    ],
)  # fmt: skip
def test_changes_of_the_clock(zone: str, day: tuple[int, int, int], cron: str, fires: list[str]) -> None:
    midnight = datetime(*day, tzinfo=CronSchedule(cron, zone).local)
    begin = midnight.astimezone(UTC) - MINUTE

    assert local(between(cron, zone, begin, (midnight + DAY - MINUTE).astimezone(UTC)), zone) == fires


def test_leap_days() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)

    assert list(islice(CronSchedule("0 3 29 2 *").after(begin), 3)) == [
        datetime(year, 2, 29, 3, tzinfo=UTC) for year in (2028, 2032, 2036)
    ]
    assert CronSchedule("0 0 29 2 *").next_after(datetime(2096, 3, 1, tzinfo=UTC)).year == 2104, "2100 has no leap day"
    assert CronSchedule("0 0 L 2 *").next_after(datetime(2028, 2, 1, tzinfo=UTC)).day == 29


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("61 * * * *", names("cron", "61 * * * *", "minute")),
        ("* 24 * * *", names("cron", "hour")),
        ("0 0 0 * *", names("cron", "day-of-month")),
        ("0 0 * 13 *", names("cron", "month")),
        ("0 0 * * FUN", names("cron", "day-of-week")),
        ("0 0 30 2 *", names("cron", "day-of-month")),
        ("0 0 */20 * 1L", names("cron", "0 0 */20 * 1L")),
        ("* * * *", names("cron", "4")),
        ("0 * * * * *", names("cron", "6")),
        ("@daily", names("cron", "1")),
        ("*/90 * * * *", names("cron", "*/90 * * * *", "minute", 60)),
        ("*/120 * * * *", names("minute", "0 */2 * * *")),
        ("0-30/60 * * * *", names("cron", "minute", 60)),
        ("5,*/61 * * * *", names("cron", "minute")),
        ("0 */24 * * *", names("cron", "hour", 24)),
        ("0 0 */31 * *", names("cron", "day of month", 31)),
        ("0 0 1 */12 *", names("cron", "month", 12)),
        ("0 0 * * */7", names("cron", "day of week", 7)),
        ("", names("cron", "0")),
    ],
)
def test_a_wrong_expression_is_told(cron: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        CronSchedule(cron)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("*/45 * * * *", names("*/45", "0,45", 30)),
        ("0/45 * * * *", names("0/45", "0,45", 30)),
        ("0-59/45 * * * *", names("0-59/45", "0,45", 30)),
        ("0 0-23/5 * * *", names("0-23/5", "0,5,10,15,20", 12)),
        ("*/40 2 * * *", names("*/40", "0,40")),
        ("*/7 * * * *", names("*/7", "0,7,14,21,28,35,42,49,56")),
        ("0 */5 * * *", names("hour", "*/5", "0,5,10,15,20", 12)),
    ],
)
def test_a_step_that_is_no_interval_is_refused_when_it_is_typed_and_kept_when_it_runs(cron: str, message: str) -> None:
    with pytest.raises(ScheduleError, match=message):
        Agreement("nightly", "shoes.csv", CronSchedule(cron))
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    assert CronSchedule(cron, kept=True).next_after(begin) > begin


@pytest.mark.parametrize(
    "cron", ["*/30 * * * *", "*/20 */12 * * *", "0,45 * * * *", "0 0 */2 * *", "1-59/7 * * * *", "0-30/7 * * * *"]
)
def test_steps_that_mean_what_they_say_are_kept(cron: str) -> None:
    Agreement("nightly", "shoes.csv", CronSchedule(cron))


def test_a_schedule_of_an_earlier_version_goes_on() -> None:
    found = CronSchedule("*/90 * * * *", kept=True).after(datetime(2026, 1, 1, tzinfo=UTC))
    assert [moment.hour for moment in islice(found, 3)] == [1, 2, 3]


@pytest.mark.parametrize("zone", ["Mars/Base", "Europe", "", "../etc", "CET+1", "\0"])
def test_a_wrong_zone_is_told(zone: str) -> None:
    with pytest.raises(ScheduleError, match=names("zone", "Europe/Berlin")):
        CronSchedule("0 3 * * *", zone)


def test_beats_send_ticks_that_do_not_pile_up() -> None:
    conf = configuration(Settings(sweep_every=2.0))
    entry = conf["beat_schedule"]["tick"]

    assert (entry["task"], entry["schedule"], entry["options"]["expires"]) == ("tick", 2.0, 4.0)
    assert {conf["task_routes"][task]["queue"] for task in ("tick", "fire")} == {"beat", "files"}


# --- After an outage ----------------------------------------------------------------------------------------------


def expected(planned: list[datetime], ticks: list[datetime], catch_up: CatchUp) -> list[datetime]:
    """Which of `planned` fire, by the rule, told as simply as can be: each belongs to the first tick that sees it."""
    fired = []
    for before, tick in pairwise(ticks):
        seen = [moment for moment in planned if before < moment <= tick]
        punctual = [moment for moment in seen if tick - moment <= ON_TIME]
        late = [moment for moment in seen if tick - moment > ON_TIME]
        if catch_up is CatchUp.ALL:
            fired += [moment for moment in late if tick - moment <= WINDOW]
        elif catch_up is CatchUp.LATEST and not punctual:
            fired += late[-1:]
        fired += punctual
    return fired


@settings(max_examples=150)
@given(
    cron=CRONS,
    change=st.sampled_from(CHANGES),
    catch_up=st.sampled_from(CatchUp),
    pauses=st.lists(st.sampled_from([5, 30, 60, 299, 300, 301, 3_600, 20_000, 86_400, 172_800]), max_size=12),
)
def test_after_outages_exactly_what_the_policy_says_fires(
    cron: Cron, change: tuple[str, datetime], catch_up: CatchUp, pauses: list[int]
) -> None:
    zone, day = change
    ticks = [day - DAY]
    for seconds in pauses:
        ticks.append(ticks[-1] + timedelta(seconds=seconds))
    ticks = [tick for tick in ticks if tick <= day + 4 * DAY]
    try:
        cron_schedule = CronSchedule(str(cron), zone)
    except ScheduleError:
        return
    fired: list[datetime] = []
    missed: list[datetime] = []
    next_at = cron_schedule.next_after(ticks[0])
    for tick in ticks[1:]:
        if next_at <= tick:
            found = due(cron_schedule, next_at, tick, catch_up, WINDOW)
            fired += found.times
            missed += found.missed
            next_at = found.next_at
            assert next_at > tick

    planned = walk(cron, change, ticks[0], ticks[-1])
    assert fired == expected(planned, ticks, catch_up)
    assert sorted(fired + missed) == planned, "none twice, and none unaccounted for"


@pytest.mark.parametrize(
    ("catch_up", "fires"),
    [(CatchUp.NONE, []), (CatchUp.LATEST, ["03 06"]), (CatchUp.ALL, ["02 06", "02 12", "02 18", "03 00", "03 06"])],
)
def test_two_days_without_a_tick(catch_up: CatchUp, fires: list[str]) -> None:
    begin = datetime(2026, 6, 1, 7, tzinfo=UTC)
    first = datetime(2026, 6, 1, 12, tzinfo=UTC)
    found = due(CronSchedule("0 */6 * * *"), first, begin + 2 * DAY, catch_up, WINDOW)

    assert [f"{moment:%d %H}" for moment in found.times] == fires
    assert found.made_up == len(found.times), "all of them are late"
    assert len(found.times) + len(found.missed) == 8
    assert found.next_at == datetime(2026, 6, 3, 12, tzinfo=UTC)
