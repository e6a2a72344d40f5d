"""Poll times, learned from how long the jobs of an operation took. Pure.

A look that finds "not yet" costs a call, and one that comes late costs the user's time. So each operation keeps a
histogram of how long its jobs took, and looks at the ages at which both together cost least: once, just after a time
that hardly varies; every few seconds where a result may come at any time, and not before the first ones come. A look
tells only between which two ages a result came, so its weight is spread between them as the histogram has it by then. A
few jobs are looked at early, so that a provider that became faster is noticed.

While nothing is known of an operation, its first jobs are scouts: they alone are looked at often, and what the first of
them teach plans the looks at all others that were sent meanwhile.
"""

from __future__ import annotations

import math
import random
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final, NamedTuple

from workers.accounts.intervals import INTERVAL_CAP_SECONDS, bounded
from workers.backoff import jittered

LOOK_COST: Final = 0.0165  # of the usual time: so long may users wait to save one call
PATIENCE: Final = 0.06  # of the usual time: a wait of twice as long is as bad as it is long, a shorter one less so
USUAL: Final = 20.0  # seconds: for what is quicker than that, nobody minds these shares of it
MARGIN: Final = 0.03  # of an age, by which the first look is later: a look a moment too soon is for all jobs too soon
SPREAD: Final = 0.03  # of an age, by which looks of jobs that were sent together are spread
EARLY_SHARE: Final = 0.03  # of jobs looked at before their time
SCOUTS: Final = 100  # jobs that are looked at often while nothing was learned
LESSONS: Final = 20  # results of theirs, after which the first looks at the others are planned
UNLEARNED_SHARE: Final = 0.1  # of the typical time, between two looks at a scout
SCOUT_SHARE: Final = 0.2  # of its age, between two looks at a scout, where that is longer
TAIL_SHARE: Final = 0.06  # of its age, between two looks at a job that takes longer than any before
STEP: Final = 0.03  # by which each bin's upper end is longer than the one before
SHORTEST: Final = 0.1  # seconds of the first bin
BINS: Final = 365  # the last one ends after more than an hour
MEMORY: Final = 500.0  # jobs that are remembered; older ones fade
UNKNOWN: Final = 0.02  # share of the jobs remembered that a first look must rule out to be counted
WIDEST: Final = 3.0  # times as late as the last look: a result that was looked for so late says nothing
RARE: Final = 0.01  # share of the jobs remembered: a result that comes sooner than all but so few others is a surprise
SURPRISE: Final = 0.1  # of the jobs remembered: what it counts for
ANEW: Final = 0.2  # of the jobs remembered: so many new ones make a new plan
FAINT: Final = 1e-3  # of the jobs remembered: a bin with less is forgotten
EVENLY: Final = 0.2  # share of a result that is spread evenly between two looks; the rest as the others are
EVENLY_FIRST: Final = 0.03  # the same of a result that was there at the first look, which says less

#: The upper end of each bin, in seconds.
_ENDS: Final = tuple(SHORTEST * (1 + STEP) ** number for number in range(BINS))


class _Plan(NamedTuple):
    """The ages at which a job is looked at, and how old one is on average when it is found."""

    ages: Sequence[float]
    mean: float


class _Histogram:
    """How long the jobs of one operation took.

    One thread adds to it, the event loop's; those that plan and keep it read copies.
    """

    def __init__(self, jobs: Mapping[int, float]) -> None:
        self._jobs = dict(jobs)
        self._total = sum(self._jobs.values())
        self._new = 0.0
        self._plans: dict[float, _Plan] = {}

    def add(self, since: float, age: float) -> None:
        """Count a job that had no result at the age `since` and one at `age`."""
        if since == 0 and self._rules_out_little(age):
            return
        shares = _shares(since, age)
        seen = {number: self._jobs.get(number, 0.0) * share for number, share in shares.items()}
        known = sum(seen.values())
        if 0 < WIDEST * since < age and self._total:
            return
        # Where hardly any result was expected so early, the provider has become faster.
        is_surprise = since == 0 and known < RARE * self._total
        number = max(1.0, SURPRISE * self._total) if is_surprise else 1.0
        share = EVENLY if since > 0 else EVENLY_FIRST
        evenly, alike = (number * share, number * (1 - share)) if known > 0 else (number, 0.0)
        even = _shares(max(since, age / 2), age)
        wide = sum(even.values())
        for place, share in even.items():
            self._count(place, evenly * share / wide)
        for place, jobs in seen.items():
            self._count(place, alike * jobs / (known or 1.0))
        self._new += number
        self._total += number
        if self._total > MEMORY:
            self._fade(MEMORY / self._total)

    def _rules_out_little(self, age: float) -> bool:
        """Whether a result at a first look is as nearly all results are; what it rules out fades."""
        last = _bin(age)
        beyond = {number: jobs for number, jobs in self._jobs.items() if number >= last}
        if sum(beyond.values()) >= UNKNOWN * self._total:
            return False
        for number, jobs in beyond.items():
            self._jobs[number] = jobs * (1 - 1 / MEMORY)
            self._total -= jobs / MEMORY
        return True

    def _count(self, number: int, jobs: float) -> None:
        self._jobs[number] = self._jobs.get(number, 0.0) + jobs

    def _fade(self, by: float) -> None:
        faded = {number: jobs * by for number, jobs in self._jobs.items()}
        self._jobs = {number: jobs for number, jobs in faded.items() if jobs > FAINT * MEMORY}
        self._total = sum(self._jobs.values())

    def plan(self, poll_every: float) -> _Plan:
        """When to look, with `poll_every` seconds between two looks at least."""
        if self._new >= ANEW * self._total:
            self._plans, self._new = {}, 0.0
        plans = self._plans
        if (found := plans.get(poll_every)) is None:
            found = plans[poll_every] = _planned(dict(self._jobs), poll_every)
        return found

    def as_document(self) -> list[list[float]]:
        """Seconds and jobs of each bin."""
        return [[round(_ENDS[number], 3), round(jobs, 3)] for number, jobs in sorted(dict(self._jobs).items())]


class Latencies:
    """What was learned of each operation of an account."""

    def __init__(self, learned: Mapping[str, Any] | None = None) -> None:
        read = {name: _read(document) for name, document in (learned or {}).items()}
        self._learned = {name: _Histogram(jobs) for name, jobs in read.items() if jobs}
        self._scouts: Counter[str] = Counter()
        self._lessons: Counter[str] = Counter()

    def first_look(self, operation: str, typical: float, poll_every: float) -> float:
        """Seconds from acceptance until the first look: as planned, slightly spread, and less for a few jobs.

        Before anything was learned it is a share of the `typical` time for scouts, and all of it for the others, whose
        first looks are planned anew when `learn` says so.
        """
        found = self._learned.get(operation)
        if found is None:
            self._scouts[operation] += 1
            if self._scouts[operation] > SCOUTS:
                return jittered(max(poll_every, typical), SPREAD)
            return self._interval(typical, poll_every) * random.uniform(1, 2)  # noqa: S311 - so each tells something else
        first = max(poll_every, found.plan(poll_every).ages[0])
        if random.random() < EARLY_SHARE:  # noqa: S311 - chooses a sample, guards nothing
            return max(poll_every, random.uniform(first / 2, first))  # noqa: S311
        return first * (1 + MARGIN + random.uniform(0, SPREAD))  # noqa: S311

    def planned_look(self, operation: str, poll_every: float) -> float:
        """Seconds from acceptance until the first look at those that waited for the first results; to be spread."""
        return max(poll_every, self._learned[operation].plan(poll_every).ages[0]) * (1 + MARGIN)

    def next_look(self, operation: str, typical: float, *, age: float, poll_every: float, left: float) -> float:
        """Seconds until the next look at a job that has no result at `age`.

        Never under `poll_every`, and never past the deadline, which is `left` seconds away.
        """
        found = self._learned.get(operation)
        if found is None:
            wait = max(self._interval(typical, poll_every), SCOUT_SHARE * age)
            return bounded(jittered(min(wait, INTERVAL_CAP_SECONDS)), poll_every=poll_every, left=left)
        ages = found.plan(poll_every).ages
        # What is planned for a moment hence was planned for this look, which came a little early.
        place = bisect_right(ages, age + poll_every / 2)
        wait = ages[place] - age if place < len(ages) else TAIL_SHARE * age
        return bounded(wait, poll_every=poll_every, left=left)

    def expected(self, operation: str, typical: float, poll_every: float) -> float:
        """Average seconds from acceptance until a look finds the result: how long a job occupies its place."""
        found = self._learned.get(operation)
        if found is None:
            return max(poll_every, typical) + UNLEARNED_SHARE * self._interval(typical, poll_every)
        return max(poll_every, found.plan(poll_every).mean)

    def learn(self, operation: str, *, since: float, age: float) -> bool:
        """Learn from a job that had a result at `age`, and none yet at `since` (0: it was not looked at before).

        Returns whether enough is known now, and was not before, to plan the first looks at those that were no scouts.
        """
        found = self._learned.get(operation) or _Histogram({})
        found.add(since, age)
        if operation not in self._learned:
            self._learned[operation] = found  # only now: other threads plan by what is here
            self._lessons[operation] = LESSONS
        self._lessons[operation] -= 1
        return self._lessons[operation] == 0

    def as_document(self) -> dict[str, list[list[float]]]:
        """What to keep in the account's row."""
        return {name: found.as_document() for name, found in self._learned.items()}

    @staticmethod
    def _interval(typical: float, poll_every: float) -> float:
        return max(poll_every, UNLEARNED_SHARE * typical)


def _bin(age: float) -> int:
    return min(bisect_left(_ENDS, age), BINS - 1)


def _shares(since: float, age: float) -> dict[int, float]:
    """Which share of each bin lies between two ages; all of the last one, if both are beyond it."""
    found = {}
    for number in range(_bin(since), _bin(age) + 1):
        begin, end = _ENDS[number - 1] if number else 0.0, _ENDS[number]
        found[number] = max(0.0, min(age, end) - max(since, begin)) / (end - begin)
    return found if any(found.values()) else {_bin(age): 1.0}


def _read(document: Any) -> dict[int, float]:
    """The jobs of a histogram that was kept; a single number is what versions before kept."""
    if isinstance(document, int | float):
        document = [[document, 1.0]]
    jobs: dict[int, float] = {}
    for pair in document if isinstance(document, list) else ():
        if isinstance(pair, list) and len(pair) == 2 and all(_is_sensible(value) for value in pair):  # noqa: PLR2004
            jobs[_bin(pair[0] * (1 - FAINT))] = float(pair[1])
    return jobs


def _is_sensible(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _planned(jobs: Mapping[int, float], poll_every: float) -> _Plan:
    """The ages at which to look that cost least, in time that users wait and in calls."""
    numbers = range(min(jobs), max(jobs) + 1)
    counts = [jobs.get(number, 0.0) for number in numbers]
    middles = [_ENDS[number] / (1 + STEP / 2) for number in numbers]
    ends = [max(_ENDS[number], poll_every) for number in numbers]
    until = [0.0, *accumulate(counts)]
    usual = max(USUAL, middles[bisect_left(until, until[-1] / 2) - 1])
    ages: list[float] = []
    found, here, following = 0.0, 0, _cheapest(counts, middles, ends, poll_every, usual)
    while here < len(counts):
        there = following[here]
        ages.append(max(ends[there - 1], (ages[-1] if ages else 0.0) + poll_every))
        found += (until[there] - until[here]) * ages[-1]
        here = there
    return _Plan(ages, found / until[-1])


def _cheapest(
    counts: Sequence[float], middles: Sequence[float], ends: Sequence[float], poll_every: float, usual: float
) -> list[int]:
    """After which bin to look next, by the bin after which a job was looked at last.

    From the last bin back to the first, the cheapest way on is found: a call for each job that is still without a
    result, and the time for which those found by the next look have waited for it.
    """
    until = [0.0, *accumulate(counts)]
    sums = [0.0, *accumulate(count * middle for count, middle in zip(counts, middles, strict=True))]
    squares = [0.0, *accumulate(count * middle**2 for count, middle in zip(counts, middles, strict=True))]
    last, call, patience = len(counts), LOOK_COST * usual, 2 * PATIENCE * usual
    costs, following = [0.0] * (last + 1), [last] * (last + 1)
    for here in range(last - 1, -1, -1):
        earliest = poll_every + (ends[here - 1] if here else 0.0)
        calls, best = (until[-1] - until[here]) * call, math.inf
        for there in range(min(bisect_left(ends, earliest, here) + 1, last), last + 1):
            age, number = max(ends[there - 1], earliest), until[there] - until[here]
            waited = number * age**2 - 2 * age * (sums[there] - sums[here]) + squares[there] - squares[here]
            cost = calls + waited / patience + costs[there]
            if cost < best:
                best, following[here] = cost, there
            elif calls + waited / patience > best:
                break  # what is found later has waited longer
        costs[here] = best
    return following
