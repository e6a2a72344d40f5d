"""Leases: one slice of a pump at a time, on whichever worker, and no work forgotten between two slices."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest

from workers.engine import leases

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PUMP = "submit:main"


def take(database: Database, owner: str = "one", generation: int | None = None) -> leases.Lease:
    lease = database.run(leases.acquire, PUMP, owner, generation)
    assert lease is not None
    return lease


def expire(database: Database) -> None:
    """As if nobody had renewed the lease for its whole term."""
    database.sql("UPDATE leases SET until = clock_timestamp() - interval '1 ms'")


def test_a_lease_is_held_by_one(database: Database) -> None:
    lease = take(database)

    assert lease.generation == 0
    for generation in (None, 0, 1):
        assert database.run(leases.acquire, PUMP, "two", generation) is None
    assert database.run(leases.acquire, "poll:main", "two", None) is not None


def test_of_many_that_race_one_gets_it(database: Database) -> None:
    got = database.together(
        [partial(leases.acquire, name=PUMP, owner=f"owner-{number}", generation=None) for number in range(16)]
    )

    held = [lease for lease in got if lease is not None]
    assert len(held) == 1
    assert database.one("SELECT owner FROM leases") == held[0].owner


def test_the_end_of_a_slice_outdates_every_message_but_its_own(database: Database) -> None:
    first = take(database)
    assert database.run(leases.release, first, 0.0) == 1

    assert database.run(leases.acquire, PUMP, "two", 0) is None, "a message of the slice before"
    assert database.run(leases.acquire, PUMP, "two", 2) is None, "a message of no slice"
    second = take(database, "two", generation=1)
    database.run(leases.release, second, None)
    assert take(database, "three", generation=None).generation == 2, "a wake-up carries none"


def test_of_a_message_delivered_twice_one_runs(database: Database) -> None:
    database.run(leases.release, take(database), 0.0)
    got = database.together(
        [partial(leases.acquire, name=PUMP, owner=f"owner-{number}", generation=1) for number in range(8)]
    )

    assert len([lease for lease in got if lease]) == 1


def test_a_dead_workers_lease_is_taken_over(database: Database) -> None:
    dead = take(database, "dead")
    expire(database)
    alive = take(database, "alive", generation=0)

    assert not database.run(leases.renew, dead)
    assert not database.run(leases.lock_for_release, dead)
    assert database.run(leases.renew, alive)
    assert database.run(leases.lock_for_release, alive)


def test_a_slow_worker_whom_nobody_replaced_goes_on(database: Database) -> None:
    lease = take(database)
    expire(database)

    assert database.run(leases.renew, lease)
    assert database.run(leases.acquire, PUMP, "two", None) is None


def test_a_released_lease_cannot_be_renewed(database: Database) -> None:
    lease = take(database)
    database.run(leases.release, lease, None)

    assert not database.run(leases.renew, lease)
    assert not database.run(leases.lock_for_release, lease)


def test_renewal_lasts_a_whole_term_and_takes_claims_along(database: Database) -> None:
    lease = take(database)
    mine, dropped, others = database.jobs(3)
    database.sql(
        "UPDATE jobs SET claimed_until = clock_timestamp() + interval '1 s' WHERE id = ANY(:ids)", ids=[mine, others]
    )
    database.sql("UPDATE leases SET until = clock_timestamp() + interval '1 s'")

    assert database.run(leases.renew, lease, [dropped, mine])
    assert database.one("SELECT extract(epoch FROM until - clock_timestamp()) FROM leases") > leases.LEASE_SECONDS - 5
    rows = database.sql("SELECT id, extract(epoch FROM claimed_until - clock_timestamp()) AS left FROM jobs")
    claimed = {row.id: row.left for row in rows}
    assert claimed[mine] > leases.LEASE_SECONDS - 5
    assert claimed[dropped] is None, "a claim given up does not come back"
    assert claimed[others] < 2


def test_a_message_is_published_only_where_one_is_needed(database: Database) -> None:
    assert database.run(leases.want, [PUMP], 0.0), "nobody has ever wanted it"
    assert not database.run(leases.want, [PUMP], 0.0), "a message is out already"
    assert not database.run(leases.want, [PUMP], 30.0), "an earlier message is out"

    lease = take(database)
    assert not database.run(leases.want, [PUMP], 0.0), "it runs now, and looks again before it ends"
    database.run(leases.release, lease, 30.0)
    assert database.run(leases.want, [PUMP], 1.0), "sooner than the message that is out"
    assert not database.run(leases.want, [PUMP], 10.0)


def test_of_several_pumps_those_that_need_a_message_are_told(database: Database) -> None:
    take(database)

    assert database.run(leases.want, ["store:0", PUMP, "poll:main", "store:0"]) == ["poll:main", "store:0"]
    assert database.run(leases.want, ["poll:main", "deliver:0"]) == ["deliver:0"]


def test_a_sleeping_pump_is_taken_over_by_a_wake_up_at_once(database: Database) -> None:
    generation = database.run(leases.release, take(database), 30.0)
    woken = take(database, "two")
    database.run(leases.release, woken, None)

    assert database.run(leases.acquire, PUMP, "late", generation) is None, "the sleeper's own message finds it done"


@pytest.mark.parametrize(
    ("until", "wake_at", "found"),
    [
        ("NULL", "clock_timestamp() - interval '64 s'", True),
        ("NULL", "clock_timestamp() - interval '1 s'", False),
        ("NULL", "clock_timestamp() + interval '10 s'", False),
        ("NULL", "NULL", False),
        ("clock_timestamp() - interval '1 ms'", "NULL", True),
        ("clock_timestamp() + interval '9 s'", "clock_timestamp() - interval '1 h'", False),
    ],
    ids=["lost message", "message on its way", "asleep", "nothing to do", "dead worker", "at work"],
)
def test_what_is_overdue(database: Database, until: str, wake_at: str, found: bool) -> None:
    database.sql(f"INSERT INTO leases (name, until, wake_at) VALUES ('{PUMP}', {until}, {wake_at})")  # noqa: S608

    assert database.run(leases.overdue, 60.0) == ([PUMP] if found else [])
    if wake_at != "NULL":
        assert database.run(leases.overdue, 60.0) == [], "it was woken just now"


def test_work_brought_at_a_slices_end_is_seen_or_woken_for(database: Database) -> None:
    lease = take(database)
    with database.sessions.begin() as ending:
        # Given a pump that has locked its lease and found no work
        assert leases.lock_for_release(ending, lease)
        # When somebody brings work and wants the pump
        wanted = database.aside(database.run, leases.want, [PUMP])
        database.wait_for_a_waiter()
        assert not wanted.done()
        leases.release(ending, lease, None)
    # Then he finds the lease free, and publishes
    assert wanted.result(30) == [PUMP]
