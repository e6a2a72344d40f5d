"""The ages at which to look at a job, from how long the jobs before it took. Pure.

A look that finds "not yet" costs a call, and one that comes late costs the user's time: those at which both together
cost least are once, just after a time that hardly varies, and every few seconds where a result may come at any time.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, NamedTuple

LOOK_COST: Final = 0.0215  # of the usual time: so long may users wait to save one call
PATIENCE: Final = 0.055  # of the usual time: a wait of twice as long is as bad as it is long, a shorter one less so
USUAL: Final = 20.0  # seconds: for what is quicker than that, nobody minds these shares of it


class Plan(NamedTuple):
    """The ages at which a job is looked at, and how old one is on average when it is found."""

    ages: Sequence[float]
    mean: float


def planned(counts: Sequence[float], middles: Sequence[float], ends: Sequence[float], poll_every: float) -> Plan:
    """The ages at which to look that cost least, in time that users wait and in calls.

    Args:
        counts: how many jobs took as long as each bin says.
        middles: the middle of each bin, in seconds.
        ends: the end of each bin, in seconds.
        poll_every: seconds between two looks at least.
    """
    ends = [max(end, poll_every) for end in ends]
    until = [0.0, *accumulate(counts)]
    usual = max(USUAL, middles[bisect_left(until, until[-1] / 2) - 1])
    ages: list[float] = []
    found, here, following = 0.0, 0, _cheapest(counts, middles, ends, poll_every, usual)
    while here < len(counts):
        there = following[here]
        ages.append(max(ends[there - 1], (ages[-1] if ages else 0.0) + poll_every))
        found += (until[there] - until[here]) * ages[-1]
        here = there
    return Plan(ages, found / until[-1])


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
