from __future__ import annotations

from datetime import UTC, datetime

import pytest

from workers.engine.floors import BEGINNING, LONGEST_PAUSE_SECONDS, PAUSE_FACTOR, UNSEEN, DueFloor, Floor, Floors

A, B = ("lane", 1), ("lane", 2)


def looked(took: float) -> Floors:
    floors = Floors()
    floors.looked([A, B])
    floors.took(100.0, 100.0 + took)
    return floors


def test_the_first_look_is_from_the_beginning() -> None:
    assert Floors().is_due(0.0)


@pytest.mark.parametrize("took", [0.003, 0.2, 5.0])
def test_looks_from_the_beginning_take_a_small_share_of_the_time(took: float) -> None:
    floors, pause = looked(took), min(took * PAUSE_FACTOR, LONGEST_PAUSE_SECONDS)
    assert not floors.is_due(100.0 + took + pause * 0.99)
    assert floors.is_due(100.0 + took + pause * 1.01)


def test_a_queue_is_looked_at_from_the_first_job_that_was_claimed_of_it() -> None:
    floors = looked(1.0)
    floors.claimed([(A, Floor(0, 12)), (A, Floor(5, 40)), (A, Floor(0, 11))])
    assert floors.floor(A) == Floor(5, 40), "a higher priority comes first"
    assert floors.floor(B) == BEGINNING
    floors.claimed([(A, Floor(0, 13)), (A, Floor(0, 12))])
    assert floors.floor(A) == Floor(0, 12)


def test_a_look_from_the_beginning_forgets_floors_and_queues_that_are_gone() -> None:
    floors = looked(1.0)
    floors.claimed([(A, Floor(0, 12)), (("other", 3), Floor(0, 1))])
    assert floors.queues == [A, B]
    floors.looked([A])
    assert (floors.queues, floors.floor(A)) == ([A], BEGINNING)


def test_attempts_are_looked_for_from_a_little_before_the_last_look_that_took_all() -> None:
    floor, at = DueFloor(), datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert floor.of(100.0) is None, "the first look is from the beginning"
    floor.took(100.0, 101.0)
    assert floor.of(102.0) is None, "not all that was due was taken"
    floor.took_all(at)
    assert floor.of(103.0) == at - UNSEEN
    assert floor.of(101.0 + PAUSE_FACTOR) is None
    floor.took(151.0, 151.5)
    assert floor.of(152.0) == at - UNSEEN
    floor.at_once()
    assert floor.of(152.0) is None
