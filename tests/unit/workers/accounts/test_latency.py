"""When to look at jobs: late enough to find a result, early enough that nobody waits for it, few times in all.

Jobs are polled as the pumps do it, by a simulated clock, with as many at once as come: what a look teaches is known
only when it was made, long after the looks of others were planned.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import mean, median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.accounts.callback_record import CallbackRecord
from workers.accounts.intervals import INTERVAL_CAP_SECONDS
from workers.accounts.latency import EARLY_SHARE, LESSONS, MARGIN, SCOUTS, SPREAD, Latencies

OPERATION = "zhiqite.swap"
TYPICAL = 8.0
LATER = 0.02  # seconds after its time at which a look is made
FOR_EVER = 1e9


@pytest.fixture(autouse=True)
def _same_chance() -> Iterator[None]:
    random.seed(20260131)
    yield
    random.seed()


class Run:
    """What polling a number of jobs came to, once a part of them had been learned from."""

    def __init__(self) -> None:
        self.polls: list[int] = []
        self.waits: list[float] = []

    @property
    def polls_per_job(self) -> float:
        return mean(self.polls)

    @property
    def late(self) -> float:
        """The 95th percentile of the seconds for which a result was there and not noticed."""
        return sorted(self.waits)[round(0.95 * len(self.waits))]


@dataclass
class Job:
    """One job on its way."""

    began: float
    needs: float
    calls: bool
    looks: int = 0
    pended: float = 0.0
    look_at: float = 0.0
    ended: bool = False


def _planned(crowd: Sequence[Job], now: float, first: float) -> Iterator[tuple[int, float]]:
    """Jobs without a look, and when they are looked at: `first` seconds after they were sent, if that is sooner."""
    for number, job in enumerate(crowd):
        planned = max(now, job.began + first * (1 + random.uniform(0, SPREAD)))
        if job.began < now < job.look_at and not job.looks and planned < job.look_at:
            yield number, planned


def work(
    latencies: Latencies,
    takes: Callable[[int], float],
    jobs: int,
    *,
    a_second: float,
    poll_every: float = 0.2,
    after: int = 0,
    calls: Callable[[int], bool] = lambda _: False,
    called: bool = False,
) -> Run:
    """Poll `jobs` jobs, of which `a_second` begin each second; count those `after` a number of them.

    Job n takes ``takes(n)`` seconds. Where the provider was given an address to call, `called`, it does so if
    ``calls(n)``.
    """
    run = Run()
    crowd = [Job(number / a_second, takes(number), calls(number)) for number in range(jobs)]
    due = [(job.began, number, "send") for number, job in enumerate(crowd)]

    def look(number: int, at: float) -> None:
        crowd[number].look_at = at + LATER
        heapq.heappush(due, (at + LATER, number, "look"))

    while due:
        at, number, what = heapq.heappop(due)
        job = crowd[number]
        age = at - job.began
        if what == "send":
            look(number, at + latencies.first_look(OPERATION, TYPICAL, poll_every, called=called))
            if job.calls:
                heapq.heappush(due, (job.began + job.needs + LATER, number, "call"))
        elif job.ended or (what == "look" and at != job.look_at):
            continue
        elif age < job.needs:
            job.looks, job.pended = job.looks + 1, age
            wait = latencies.next_look(
                OPERATION, TYPICAL, age=age, poll_every=poll_every, left=FOR_EVER, called=called
            )  # fmt: skip
            look(number, at + wait)
        else:
            job.ended = True
            if number >= after:
                run.polls.append(job.looks + 1)
                run.waits.append(age - job.needs)
            told = what == "call" if called else None
            if latencies.learn(OPERATION, since=job.pended, age=age, told=told):
                first = latencies.planned_look(OPERATION, poll_every, called=called)
                for each, planned in _planned(crowd, at, first):
                    look(each, planned)
    return run


def fixed(_: int) -> float:
    return 5.0


def normal(_: int) -> float:
    return max(0.5, random.gauss(6.0, 0.9))


def log_normal(_: int) -> float:
    """A median of 20 s, and 45 s for one in twenty."""
    return random.lognormvariate(math.log(20), math.log(45 / 20) / 1.645)


def drifting(number: int) -> float:
    """From 4 to 8 seconds and back within 4,000 jobs."""
    return 4.0 + 4.0 * abs((number / 2_000) % 2 - 1) + random.uniform(0, 0.3)


@pytest.mark.parametrize(
    ("takes", "a_second", "polls", "wait"),
    [
        (fixed, 1, 1.4, 0.8),
        pytest.param(fixed, 300, 1.3, 0.8, marks=pytest.mark.heavy),
        (normal, 1, 2.1, 1.0),
        pytest.param(normal, 300, 2.1, 1.0, marks=pytest.mark.heavy),
        (drifting, 1, 2.1, 1.8),
    ],
)
def test_a_time_that_varies_little_needs_few_looks(
    takes: Callable[[int], float], a_second: int, polls: float, wait: float
) -> None:
    """Also while thousands are under way, whose looks were planned before the latest results came."""
    number = 10 * a_second + 1_000
    runs = [work(Latencies(), takes, number, a_second=a_second, poll_every=1.0, after=number // 2) for _ in range(4)]
    assert mean(run.polls_per_job for run in runs) <= polls
    assert mean(mean(run.waits) for run in runs) <= wait


@pytest.mark.parametrize(("takes", "poll_every"), [(5.0, 1.0), (8.0, 3.0)])
def test_a_look_before_its_time_lets_no_job_wait_for_the_next(takes: float, poll_every: float) -> None:
    """A producer that gets its results in turn waits for the latest of them."""
    run = work(Latencies(), lambda _: takes, 4_000, a_second=40, poll_every=poll_every, after=2_000)
    assert max(run.waits) <= 0.2 * takes


@pytest.mark.heavy
def test_a_time_that_varies_much_is_noticed_as_soon_as_with_many_more_looks() -> None:
    """A look every 3 s finds a result after 1.5 s on average, and 2.85 s at the 95th percentile."""
    fixed = [math.ceil(log_normal(number) / 3) for number in range(10_000)]
    runs = [work(Latencies(), log_normal, 4_000, a_second=5, poll_every=1.0, after=1_500) for _ in range(6)]
    assert mean(mean(run.waits) for run in runs) <= 1.5
    assert mean(run.late for run in runs) <= 3.0
    assert mean(run.polls_per_job for run in runs) <= 0.8 * mean(fixed)


def test_hardly_a_look_comes_before_the_first_results_do() -> None:
    """Of what comes between two looks, a little counts for sooner, so in one run of several a plan is too early."""
    soon = []
    for _ in range(5):
        latencies = Latencies()
        work(latencies, lambda _: random.uniform(60, 70), 1_000, a_second=1, poll_every=3.0)
        looks = [latencies.first_look(OPERATION, TYPICAL, 3.0) for _ in range(2_000)]
        soon.append(sum(look < 58 for look in looks) / len(looks))
    assert median(soon) <= 1.5 * EARLY_SHARE


@pytest.mark.parametrize(("before", "after"), [(20.0, 4.0), (4.0, 20.0)], ids=["faster", "slower"])
def test_a_provider_that_changed_is_noticed(before: float, after: float) -> None:
    latencies = Latencies()
    work(latencies, lambda _: before, 500, a_second=1, poll_every=1.0)
    run = work(latencies, lambda _: after, 900, a_second=1, poll_every=1.0, after=450)
    assert mean(run.waits) <= 0.5 * after
    assert run.polls_per_job <= 3.2


def test_a_backlog_looked_at_late_teaches_nothing() -> None:
    latencies = Latencies()
    for _ in range(200):
        latencies.learn(OPERATION, since=4.8, age=5.0)
    planned = latencies.first_look(OPERATION, TYPICAL, 0.2)
    for age in (5.6, 8.0, 60.0, 3_600.0):
        for _ in range(200):
            latencies.learn(OPERATION, since=0.0, age=age)
            latencies.learn(OPERATION, since=1.0, age=age)
    assert latencies.expected(OPERATION, TYPICAL, 0.2) == pytest.approx(planned, rel=0.1)


def test_a_few_jobs_are_looked_at_early() -> None:
    latencies = Latencies()
    for _ in range(200):
        latencies.learn(OPERATION, since=9.8, age=10.0)
    looks = [latencies.first_look(OPERATION, TYPICAL, 0.2) for _ in range(5_000)]
    early = [look for look in looks if look < 10.0]
    assert EARLY_SHARE / 2 < len(early) / len(looks) < 2 * EARLY_SHARE
    planned = [look for look in looks if look >= 10.0]
    assert max(planned) <= 10.0 * (1 + 2 * (MARGIN + SPREAD))


@pytest.mark.parametrize(("takes", "polls"), [(fixed, 1.3), (normal, 2.5)])
def test_a_first_batch_needs_few_looks_too(takes: Callable[[int], float], polls: float) -> None:
    """Thousands are sent before the first result is there: all of them looking for it would be as many calls."""
    run = work(Latencies(), takes, 10_000, a_second=500, poll_every=1.0)
    assert run.polls_per_job <= polls
    assert mean(run.waits) <= 1.0


def test_once_the_scouts_are_in_the_others_are_planned() -> None:
    latencies = Latencies()
    sent = [latencies.first_look(OPERATION, TYPICAL, 0.2) for _ in range(SCOUTS + 50)]
    assert max(sent[:SCOUTS]) <= 0.2 * TYPICAL, "scouts are looked at early"
    assert min(sent[SCOUTS:]) >= TYPICAL * (1 - SPREAD), "the others wait for what the scouts teach"
    told = [latencies.learn(OPERATION, since=2.9, age=3.0) for _ in range(2 * LESSONS)]
    assert [number for number, now in enumerate(told, 1) if now] == [LESSONS]
    assert latencies.planned_look(OPERATION, 0.2) == pytest.approx(3.0, rel=0.1)


def test_who_has_scouts_under_way_catches_up_with_others() -> None:
    here, there = Latencies(), Latencies({"zhiqite.other": [[9.0, 30.0]]})
    found = [here.scouting]
    here.first_look(OPERATION, TYPICAL, 0.2)
    found.append(here.scouting)
    here.catch_up(there)
    found.append(here.scouting)  # of this one nothing is known there either
    for _ in range(30):
        there.learn(OPERATION, since=19.0, age=20.0)
    here.catch_up(there)
    assert [*found, here.scouting] == [False, True, True, False]
    assert here.planned_look(OPERATION, 0.2) == pytest.approx(20.0, rel=0.1)
    for _ in range(30):
        here.learn(OPERATION, since=2.9, age=3.0)
    before = here.as_document()
    here.catch_up(there)
    assert here.as_document() == before, "what is known here stays"


def test_what_was_kept_sends_no_scouts() -> None:
    latencies = Latencies({OPERATION: [[3.0, 10.0]]})
    looks = [latencies.first_look(OPERATION, TYPICAL, 0.2) for _ in range(SCOUTS)]
    assert max(looks) <= 3.3
    assert not any(latencies.learn(OPERATION, since=2.9, age=3.0) for _ in range(2 * LESSONS))


def test_before_anything_is_learned_looks_grow_from_a_share_of_the_documented_time() -> None:
    latencies = Latencies()
    assert 0.1 * TYPICAL <= latencies.first_look(OPERATION, TYPICAL, 0.2) <= 0.2 * TYPICAL
    waits = [
        latencies.next_look(OPERATION, TYPICAL, age=age, poll_every=0.2, left=FOR_EVER)
        for age in (0.0, 10.0, 20.0, 40.0, 1_000.0)
    ]
    assert waits == sorted(waits)
    assert waits[0] == pytest.approx(0.1 * TYPICAL, rel=0.21)
    assert waits[-1] <= 1.2 * INTERVAL_CAP_SECONDS


@given(
    history=st.lists(st.tuples(st.floats(0, 4_000), st.floats(0.01, 4_000)), max_size=30),
    age=st.floats(0.01, 1e5),
    poll_every=st.floats(0.01, 100),
    left=st.floats(-1_000, 10_000),
)
def test_whatever_was_learned_no_look_is_too_soon_or_past_the_deadline(
    history: list[tuple[float, float]], age: float, poll_every: float, left: float
) -> None:
    latencies = Latencies()
    for since, took in history:
        latencies.learn(OPERATION, since=since, age=since + took)
    assert latencies.first_look(OPERATION, TYPICAL, poll_every) >= poll_every * 0.95
    assert latencies.expected(OPERATION, TYPICAL, poll_every) >= poll_every
    wait = latencies.next_look(OPERATION, TYPICAL, age=age, poll_every=poll_every, left=left)
    assert 0 <= wait <= max(left, 0.0)
    assert wait >= min(poll_every, max(left, 0.0))


def test_where_callbacks_come_a_job_is_hardly_looked_at() -> None:
    """Also where its time varies much: looks every few seconds would find nothing that a callback does not tell."""
    run = work(
        Latencies(), log_normal, 4_000, a_second=5, poll_every=1.0, after=1_500, calls=lambda _: True, called=True
    )  # fmt: skip
    assert run.polls_per_job <= 1.1
    assert run.late <= 0.3


@pytest.mark.parametrize("dropped", [0.01, 0.5, 1.0])
def test_callbacks_that_are_missing_are_not_relied_on(dropped: float) -> None:
    """One in a hundred costs its own job some time; many, and the looks are those of a provider that calls nobody."""
    latencies = Latencies()
    work(latencies, log_normal, 1_000, a_second=5, poll_every=1.0, calls=lambda _: True, called=True)
    run = work(
        latencies, log_normal, 2_000, a_second=5, poll_every=1.0, after=500,
        calls=lambda _: random.random() >= dropped, called=True,
    )  # fmt: skip
    assert mean(run.waits) <= 1.7
    assert run.polls_per_job <= (1.3 if dropped < 0.1 else 7.0)


def test_callbacks_that_stop_are_noticed_by_the_jobs_under_way() -> None:
    """Those sent while callbacks were relied on would be looked at after three times the usual time."""
    latencies = Latencies()
    work(latencies, log_normal, 1_000, a_second=5, poll_every=1.0, calls=lambda _: True, called=True)
    run = work(latencies, log_normal, 300, a_second=30, poll_every=1.0, called=True)
    assert mean(run.waits) <= 10
    assert latencies.first_look(OPERATION, TYPICAL, 1.0, called=True) <= 15


def test_once_they_come_again_callbacks_are_relied_on_again() -> None:
    latencies = Latencies()
    work(latencies, log_normal, 500, a_second=5, poll_every=1.0, called=True)
    run = work(
        latencies, log_normal, 1_500, a_second=5, poll_every=1.0, after=1_000, calls=lambda _: True, called=True
    )  # fmt: skip
    assert run.polls_per_job <= 1.1


def test_a_job_without_an_address_to_call_is_looked_at_as_ever() -> None:
    latencies = Latencies()
    work(latencies, log_normal, 1_000, a_second=5, poll_every=1.0, calls=lambda _: True, called=True)
    looks = {called: latencies.planned_look(OPERATION, 1.0, called=called) for called in (False, True)}
    assert looks[False] <= 15
    assert looks[True] >= 40
    waits = {
        called: latencies.next_look(OPERATION, TYPICAL, age=20.0, poll_every=1.0, left=FOR_EVER, called=called)
        for called in (False, True)
    }
    assert waits[False] <= 5
    assert waits[True] >= 20
    assert Latencies(latencies.as_document()).planned_look(OPERATION, 1.0, called=True) == looks[True]


@pytest.mark.heavy
def test_what_is_kept_leads_to_the_same_looks() -> None:
    latencies = Latencies()
    work(latencies, log_normal, 500, a_second=5)
    again = Latencies(latencies.as_document())
    for age in (0.5, 10.0, 20.0, 40.0, 200.0):
        looks = [
            each.next_look(OPERATION, TYPICAL, age=age, poll_every=1.0, left=FOR_EVER) for each in (latencies, again)
        ]
        assert looks[0] == pytest.approx(looks[1], rel=0.2, abs=1.0)
    assert again.expected(OPERATION, TYPICAL, 1.0) == pytest.approx(
        latencies.expected(OPERATION, TYPICAL, 1.0), rel=0.1
    )


def test_the_single_number_of_versions_before_is_understood() -> None:
    old = Latencies({OPERATION: 5.0})
    assert old.expected(OPERATION, TYPICAL, 0.2) == pytest.approx(5.0, rel=0.1)


JSON = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3) | st.floats() | st.integers(),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.dictionaries(st.text(max_size=5), JSON))
def test_only_sensible_figures_are_remembered(document: dict[str, object]) -> None:
    latencies = Latencies(document)
    for name in document:
        assert math.isfinite(latencies.expected(name, TYPICAL, 1.0))
    assert set(latencies.as_document()) <= set(document)
    CallbackRecord.read(document)


@given(JSON)
def test_only_sensible_counts_of_callbacks_are_remembered(document: object) -> None:
    assert not CallbackRecord.read(document).reliable
