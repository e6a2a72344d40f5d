"""Groups: a lone item does not wait for others, a flood is handed on in pieces, and a failure ends nothing."""

from __future__ import annotations

import threading
import time
from functools import partial

from tests.stack import crowding, wait_for
from workers.producers.grouping import MOST, Groups

NOTICED_SECONDS = 0.05  # what a lone item may wait on an idle machine; it is meant to be a few milliseconds


def _has(worked: list[float], number: int) -> bool:
    return len(worked) >= number


def test_a_lone_item_is_not_kept_waiting() -> None:
    worked: list[float] = []
    groups = Groups[float](lambda group: worked.extend(time.monotonic() - began for began in group), "test")
    for number in range(20):
        groups.put(time.monotonic())
        wait_for(partial(_has, worked, number + 1), every=0.001)
    groups.close(10)

    assert sorted(worked)[len(worked) // 2] < NOTICED_SECONDS * crowding()


def test_what_arrives_while_a_group_is_worked_on_is_the_next_one() -> None:
    gate, sizes = threading.Event(), list[int]()
    worked = list[int]()

    def work(group: list[int]) -> None:
        gate.wait(30)
        sizes.append(len(group))
        worked.extend(group)

    groups = Groups[int](work, "test")
    groups.put(0)
    for number in range(1, 2 * MOST + 1):
        groups.put(number)
    gate.set()
    groups.close(30)

    assert worked == list(range(2 * MOST + 1)), "in the order of their arrival, and none is lost at the end"
    assert max(sizes) <= MOST
    assert len(sizes) <= 4


def test_a_group_that_fails_ends_nothing() -> None:
    worked: list[str] = []
    failed = threading.Event()

    def work(group: list[str]) -> None:
        if "bad" in group:
            failed.set()
            raise ValueError("bad")
        worked.extend(group)

    groups = Groups[str](work, "test")
    groups.put("bad")
    assert failed.wait(30)
    groups.put("good")
    groups.close(30)

    assert worked == ["good"]
