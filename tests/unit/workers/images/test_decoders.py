"""Threads and memory for decoding: what waits, what does not, and what health says of a picture that never ends."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.stack import wait_for
from workers.config.settings import Settings
from workers.engine.runtime import Runtime
from workers.images import decoders
from workers.images.decoders import LEAST_THREADS, StuckError
from workers.images.decoding import Budget
from workers.observability.checks import parts


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as made:
        yield made


@pytest.fixture
def free(pool: ThreadPoolExecutor) -> Iterator[threading.Event]:
    """What pictures that take long wait for: until the test ends at the latest, before the pool waits for them."""
    del pool
    event = threading.Event()
    yield event
    event.set()


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    made = Runtime(
        Settings(_env_file=None, database_url="postgresql://127.0.0.1:9/none", broker_url="redis://127.0.0.1:9/0",
                 home=tmp_path)
    )  # fmt: skip
    yield made
    made.close()


def test_pictures_that_take_long_leave_the_other_threads_alone_and_health_names_them(
    runtime: Runtime, pool: ThreadPoolExecutor, free: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks, begun = parts(runtime), threading.Semaphore(0)
    cores = max(LEAST_THREADS, os.cpu_count() or 1)

    def endless() -> None:
        begun.release()
        free.wait()

    async def more_than_there_are_threads() -> None:
        await asyncio.gather(*(runtime.in_decoder(endless) for _ in range(cores + 1)))

    work = pool.submit(asyncio.run, more_than_there_are_threads())
    for _ in range(cores):
        assert begun.acquire(timeout=30)
    looks["decoders"]()
    assert runtime.threads.submit(int, "7").result(30) == 7
    monkeypatch.setattr(decoders, "STUCK_SECONDS", 0.0)
    with pytest.raises(StuckError):
        looks["decoders"]()
    assert not begun.acquire(blocking=False), "more at a time than there are cores"

    free.set()
    work.result(30)
    looks["decoders"]()


def test_a_decode_for_which_there_is_no_memory_waits_until_others_end(
    pool: ThreadPoolExecutor, free: threading.Event
) -> None:
    budget, taken, sums, begun = Budget(10), list[int](), list[int](), threading.Semaphore(0)

    def decode(amount: int) -> None:
        with budget.taken(amount):
            taken.append(amount)
            sums.append(sum(taken))
            begun.release()
            free.wait()
            taken.remove(amount)

    first = [pool.submit(decode, amount) for amount in (6, 4)]
    for _ in first:
        assert begun.acquire(timeout=30)
    later = [pool.submit(decode, amount) for amount in (6, 20, 4)]
    waiting: Any = budget._changed
    wait_for(lambda: len(waiting._waiters) == len(later), message="all of them wait")
    free.set()
    for work in (*first, *later):
        work.result(30)
    assert max(sums) == 20, "the one that is larger than the budget is alone"
