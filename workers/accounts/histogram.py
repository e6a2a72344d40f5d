"""How long the jobs of an operation took, as a histogram that forgets. Pure.

A look tells only between which two ages a result came, so its weight is spread between them as the histogram has it by
then.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from workers.accounts.kept import is_amount
from workers.accounts.look_plan import Plan, planned

STEP: Final = 0.03  # by which each bin's upper end is longer than the one before
SHORTEST: Final = 0.1  # seconds of the first bin
BINS: Final = 365  # the last one ends after more than an hour
MEMORY: Final = 500.0  # jobs that are remembered; older ones fade
UNKNOWN: Final = 0.02  # share of the jobs remembered that a first look must rule out to be counted
WIDEST: Final = 3.0  # times as late as the last look: a result that was looked for so late says nothing
RARE: Final = 0.02  # share of the jobs remembered: a result that comes sooner than all but so few others is a surprise
SURPRISE: Final = 0.25  # of the jobs remembered: what it counts for
ANEW: Final = 0.2  # of the jobs remembered: so many new ones make a new plan
FAINT: Final = 1e-3  # of the jobs remembered: a bin with less is forgotten
EVENLY: Final = 0.2  # share of a result that is spread evenly between two looks; the rest as the others are
EVENLY_FIRST: Final = 0.1  # the same of a result that was there at the first look, which says less
WIDE: Final = 12  # bins between the tenth and the ninetieth percentile: times that vary by 40 %

_KERNEL: Final = (1 / 9, 2 / 9, 3 / 9, 2 / 9, 1 / 9)
#: The upper end of each bin, in seconds.
_ENDS: Final = tuple(SHORTEST * (1 + STEP) ** number for number in range(BINS))


class Histogram:
    """How long the jobs of one operation took.

    One thread adds to it, the event loop's; those that plan and keep it read copies.
    """

    def __init__(self, jobs: Mapping[int, float] | None = None) -> None:
        self._jobs = dict(jobs or {})
        self._total = sum(self._jobs.values())
        self._new = 0.0
        self._plans: dict[float, Plan] = {}

    @classmethod
    def read(cls, document: Any) -> Histogram | None:
        """What was kept, if it makes sense; a single number is what versions before kept."""
        if isinstance(document, int | float):
            document = [[document, 1.0]]
        jobs: dict[int, float] = {}
        for pair in document if isinstance(document, list) else ():
            if isinstance(pair, list) and len(pair) == 2 and all(map(is_amount, pair)) and all(pair):  # noqa: PLR2004
                jobs[_bin(pair[0] * (1 - FAINT))] = float(pair[1])
        return cls(jobs) if jobs else None

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

    def plan(self, poll_every: float) -> Plan:
        """When to look, with `poll_every` seconds between two looks at least."""
        if self._new >= ANEW * self._total:
            self._plans, self._new = {}, 0.0
        plans = self._plans
        if (found := plans.get(poll_every)) is None:
            found = plans[poll_every] = self._planned(poll_every)
        return found

    def _planned(self, poll_every: float) -> Plan:
        jobs = dict(self._jobs)
        numbers = range(min(jobs), max(jobs) + 1)
        counts = _smoothed([jobs.get(number, 0.0) for number in numbers])
        middles = [_ENDS[number] / (1 + STEP / 2) for number in numbers]
        return planned(counts, middles, [_ENDS[number] for number in numbers], poll_every)

    def age_of(self, share: float) -> float:
        """The age, in seconds, by which this share of the jobs had a result."""
        jobs = sorted(dict(self._jobs).items())
        until = list(accumulate(number for _, number in jobs))
        return _ENDS[jobs[min(bisect_left(until, share * until[-1]), len(jobs) - 1)][0]]

    def as_document(self) -> list[list[float]]:
        """Seconds and jobs of each bin."""
        return [[round(_ENDS[number], 3), round(jobs, 3)] for number, jobs in sorted(dict(self._jobs).items())]


def _bin(age: float) -> int:
    return min(bisect_left(_ENDS, age), BINS - 1)


def _shares(since: float, age: float) -> dict[int, float]:
    """Which share of each bin lies between two ages; all of the last one, if both are beyond it."""
    found = {}
    for number in range(_bin(since), _bin(age) + 1):
        begin, end = _ENDS[number - 1] if number else 0.0, _ENDS[number]
        found[number] = max(0.0, min(age, end) - max(since, begin)) / (end - begin)
    return found if any(found.values()) else {_bin(age): 1.0}


def _smoothed(counts: Sequence[float]) -> Sequence[float]:
    """The counts, each spread a little over its neighbors where they vary widely.

    A few hundred jobs in many bins are ragged by chance, and a plan would follow each tooth.
    """
    until = list(accumulate(counts))
    if bisect_left(until, 0.9 * until[-1]) - bisect_left(until, 0.1 * until[-1]) < WIDE:
        return counts
    last, smoothed = len(counts) - 1, [0.0] * len(counts)
    for place, number in enumerate(counts):
        for beside, share in enumerate(_KERNEL, start=place - len(_KERNEL) // 2):
            smoothed[min(max(beside, 0), last)] += number * share
    return smoothed
