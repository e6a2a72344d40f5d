"""First looks: late enough to find a result, early enough to notice a faster provider, few in all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.accounts.latency import EARLY_FACTOR, HIT_SHARE, Latencies, next_look

OPERATION = "zhiqite.swap"
TYPICAL = 8.0
POLL_EVERY = 0.2


@pytest.fixture(autouse=True)
def _same_chance() -> Iterator[None]:
    random.seed(20260131)
    yield
    random.seed()


@dataclass
class Run:
    """What polling a number of jobs came to."""

    hits: int = 0
    polls: int = 0
    waste: float = 0.0
    jobs: int = 0

    @property
    def hit_share(self) -> float:
        return self.hits / self.jobs

    @property
    def polls_per_job(self) -> float:
        return self.polls / self.jobs


def work(latencies: Latencies, draw: Callable[[int], float], jobs: int, poll_every: float = POLL_EVERY) -> Run:
    """Poll `jobs` jobs one after the other, job n taking ``draw(n)`` seconds, as the poll pump would."""
    run = Run(jobs=jobs)
    for number in range(jobs):
        takes = draw(number)
        age = latencies.first_look(OPERATION, TYPICAL, poll_every)
        polls = 0
        while age < takes:
            latencies.learn(OPERATION, age, polls=polls, done=False)
            interval = latencies.interval(OPERATION, TYPICAL, poll_every)
            age += next_look(polls, interval=interval, poll_every=poll_every, left=1e9)
            polls += 1
        latencies.learn(OPERATION, age, polls=polls, done=True)
        run.hits += polls == 0
        run.polls += polls + 1
        run.waste += age - takes
    return run


def fixed(_: int) -> float:
    return 5.0


def normal(_: int) -> float:
    return max(0.5, random.gauss(6.0, 0.9))


def drifting(number: int) -> float:
    """From 4 to 8 seconds and back within 4,000 jobs."""
    return 4.0 + 4.0 * abs((number / 2_000) % 2 - 1) + random.uniform(0, 0.3)


@pytest.mark.parametrize("draw", [fixed, normal, drifting])
def test_about_nine_first_looks_in_ten_find_a_result(draw: Callable[[int], float]) -> None:
    latencies = Latencies()
    work(latencies, draw, 500)
    steady = work(latencies, draw, 4_000)

    assert steady.hit_share == pytest.approx(HIT_SHARE, abs=0.06)
    assert steady.polls_per_job <= 1.25


def test_results_are_noticed_soon_after_they_are_there() -> None:
    latencies = Latencies()
    work(latencies, fixed, 500)
    steady = work(latencies, fixed, 2_000)

    assert steady.waste / steady.jobs < 0.1 * fixed(0)


def test_the_first_results_teach() -> None:
    latencies = Latencies()
    first = latencies.first_look(OPERATION, TYPICAL, POLL_EVERY)
    work(latencies, fixed, 1)

    assert first == pytest.approx(0.1 * TYPICAL, rel=0.06)
    assert fixed(0) <= latencies.as_document()[OPERATION] <= 1.6 * fixed(0)


@pytest.mark.parametrize(("before", "after"), [(20.0, 4.0), (4.0, 20.0)])
def test_a_provider_that_changed_is_noticed(before: float, after: float) -> None:
    latencies = Latencies()
    work(latencies, lambda _: before, 500)
    work(latencies, lambda _: after, 400)

    assert latencies.as_document()[OPERATION] == pytest.approx(after, rel=0.25)


def test_a_backlog_polled_late_teaches_nothing() -> None:
    latencies = Latencies({OPERATION: 5.0})
    for age in (5.6, 8.0, 60.0, 3_600.0):
        for _ in range(200):
            latencies.learn(OPERATION, age, polls=0, done=True)

    assert latencies.as_document()[OPERATION] == 5.0


def test_later_looks_teach_nothing() -> None:
    latencies = Latencies({OPERATION: 5.0})
    for done in (True, False):
        latencies.learn(OPERATION, 5.0, polls=1, done=done)

    assert latencies.as_document() == {OPERATION: 5.0}


def test_a_few_jobs_are_looked_at_early() -> None:
    latencies = Latencies({OPERATION: 10.0})
    looks = [latencies.first_look(OPERATION, TYPICAL, POLL_EVERY) for _ in range(5_000)]
    early = [look for look in looks if look == 10.0 * EARLY_FACTOR]

    assert 0.015 < len(early) / len(looks) < 0.05
    assert all(9.4 < look < 10.6 for look in looks if look not in early)


@given(
    polls=st.integers(0, 1_000),
    interval=st.floats(0.01, 1_000),
    poll_every=st.floats(0.01, 100),
    left=st.floats(-1_000, 10_000),
)
def test_the_next_look_keeps_its_bounds(polls: int, interval: float, poll_every: float, left: float) -> None:
    wait = next_look(polls, interval=max(interval, poll_every), poll_every=poll_every, left=left)

    assert wait >= 0
    assert wait <= max(left, 0.0), "past the deadline"
    assert wait >= min(poll_every, max(left, 0.0)), "more often than the account allows"


@given(st.floats(0.01, 100), st.floats(0.01, 1_000))
def test_a_first_look_is_never_sooner_than_the_account_allows(poll_every: float, learned: float) -> None:
    for latencies in (Latencies(), Latencies({OPERATION: learned})):
        assert latencies.first_look(OPERATION, TYPICAL, poll_every) >= poll_every * 0.95


@given(
    st.dictionaries(st.text(max_size=5), st.none() | st.text(max_size=3) | st.floats(allow_nan=False) | st.integers())
)
def test_only_sensible_figures_are_remembered(document: dict[str, object]) -> None:
    kept = Latencies(document).as_document()

    assert all(value >= 0 for value in kept.values())
    assert set(kept) <= {name for name, value in document.items() if isinstance(value, int | float)}
