"""The forecast of how long jobs take within their accounts' limits. Pure.

The forecast assumes that each account works at an even pace: it submits as fast as its rate and its max_in_flight
allow, and takes jobs from its lanes in proportion to the number left in each, because it works through a batch in
order. So shares and times follow from a few hundred small steps, whatever the number of jobs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STEPS = 200  # of the remaining time: the end of a lane is exact to half a percent of it
LEAST_JOBS = 1e-6  # less than that is a rounding error, not a job
SAVING_SECONDS = 0.5  # from the poll that finds a result to the row that records it


@dataclass(frozen=True, slots=True)
class AccountPace:
    """The pace of an account that accepts submissions."""

    name: str
    max_in_flight: int
    #: Submissions per second; None for no limit.
    rate: float | None
    #: By lane: the seconds for which one of its jobs is in flight.
    seconds: Mapping[str, float]


@dataclass(slots=True)
class Forecast:
    """When jobs are expected to be done, and where."""

    #: Until the last job is done; None if some jobs cannot be done.
    seconds: float | None
    #: Expected jobs by (account, lane); fractions, because which account takes a job is not known in advance.
    shares: dict[tuple[str, str], float] = field(default_factory=dict)
    #: Lanes that no accepting account serves.
    stranded: list[str] = field(default_factory=list)
    #: What limits the pace of each account: ``rate``, ``in flight`` or the batch's limit.
    bounds: dict[str, str] = field(default_factory=dict)


def forecast(jobs: Mapping[str, int], accounts: Sequence[AccountPace], max_in_flight: int | None = None) -> Forecast:
    """Forecast when `accounts` finish `jobs`.

    Args:
        jobs: the number of jobs in each lane.
        accounts: the accounts that accept submissions; each serves the lanes for which it has seconds.
        max_in_flight: the batch's own limit over all accounts.
    """
    found = Forecast(0.0)
    left = {lane: float(number) for lane, number in jobs.items() if number > 0}
    for lane in [lane for lane in left if not any(lane in account.seconds for account in accounts)]:
        found.stranded.append(lane)
        del left[lane]
    seconds, last_wait = 0.0, 0.0
    while left:
        paces = _paces(left, accounts, max_in_flight, found.bounds)
        by_lane: dict[str, float] = {}
        for (_, lane), pace in paces.items():
            by_lane[lane] = by_lane.get(lane, 0.0) + pace
        ends = {lane: number / by_lane[lane] for lane, number in left.items()}
        step = max(min(ends.values()), max(ends.values()) / STEPS)
        for (name, lane), pace in paces.items():
            taken = min(pace * step, left[lane] * pace / by_lane[lane])
            found.shares[name, lane] = found.shares.get((name, lane), 0.0) + taken
        last_wait = max(
            _last_wait(account, left, found.bounds) for account in accounts if left.keys() & account.seconds.keys()
        )
        seconds += min(step, max(ends.values()))
        rest = {lane: number - by_lane[lane] * step for lane, number in left.items()}
        left = {lane: number for lane, number in rest.items() if number > LEAST_JOBS}
    if found.stranded:
        found.seconds = None
    elif found.shares:
        found.seconds = seconds + last_wait + SAVING_SECONDS
    return found


def _paces(
    left: Mapping[str, float], accounts: Sequence[AccountPace], max_in_flight: int | None, bounds: dict[str, str]
) -> dict[tuple[str, str], float]:
    """Jobs per second by (account, lane)."""
    paces: dict[tuple[str, str], float] = {}
    places = 0.0
    for account in accounts:
        lanes = {lane: left[lane] for lane in account.seconds if lane in left}
        total = sum(lanes.values())
        if not total:
            continue
        mean = sum(account.seconds[lane] * number for lane, number in lanes.items()) / total
        by_places = account.max_in_flight / mean
        pace = by_places if account.rate is None else min(account.rate, by_places)
        bounds[account.name] = "in flight" if pace == by_places else "rate"
        places += pace * mean
        paces |= {(account.name, lane): pace * number / total for lane, number in lanes.items()}
    if max_in_flight is not None and places > max_in_flight:
        bounds |= dict.fromkeys({name for name, _ in paces}, "the batch's limit in flight")
        return {place: pace * max_in_flight / places for place, pace in paces.items()}
    return paces


def _last_wait(account: AccountPace, left: Mapping[str, float], bounds: Mapping[str, str]) -> float:
    """Seconds that the last jobs still take; where max_in_flight limits the pace, the pace includes them already."""
    if bounds[account.name] != "rate":
        return 0.0
    return max(account.seconds[lane] for lane in account.seconds if lane in left)
