"""The computation of reported figures from observations. Pure."""

from __future__ import annotations

import statistics
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

#: Between these shares of the completions a run counts as steady: before, the pipeline fills.
FIRST, LAST = 0.1, 0.9
MEGABYTE = 1e6  # bytes


class TooFewError(Exception):
    """A contestant completed too little to be measured."""


@dataclass(frozen=True, slots=True)
class Sample:
    """CPU time in seconds used so far, at an instant (Unix time in seconds)."""

    at: float
    contestant: float
    servers: float
    stub: float
    #: Of all cores, by any process.
    machine: float
    #: By who sends the jobs and waits for them, where that is a process of its own.
    producer: float = 0.0
    #: By PostgreSQL, which is one of the servers.
    database: float = 0.0
    #: Bytes of memory in which the contestant's processes lie; what they share is counted for each.
    resident: float = 0.0


@dataclass(frozen=True, slots=True)
class Figures:
    """One contestant's run; all but the counts are between the 10th and the 90th percentile of its completions."""

    jobs_per_s: float
    cpu_ms_per_job: float
    servers_cpu_ms_per_job: float
    steady_seconds: float
    #: Cores that the stub kept busy; at 1 it would be what is measured.
    stub_load: float
    #: Cores that everything else kept busy: the observer, and whatever else this machine did meanwhile.
    other_load: float
    #: Of the jobs whose result was fetched.
    polls_per_job: float
    completed: int
    submitted: int
    producer_cpu_ms_per_job: float = 0.0
    database_cpu_ms_per_job: float = 0.0
    #: The most that the contestant's processes had, over the whole run.
    peak_mb: float = 0.0


def measure(finished: Sequence[float], samples: Sequence[Sample], *, polls: float, submitted: int) -> Figures:
    """The figures of a run whose jobs were finished at these instants (Unix time, ascending).

    Raises:
        TooFewError: there is no steady stretch.
    """
    first, last = int(len(finished) * FIRST), int(len(finished) * LAST)
    if last <= first or finished[last] <= finished[first]:
        raise TooFewError(f"{len(finished)} jobs were completed: too few to measure a rate")
    begin, end = at(samples, finished[first]), at(samples, finished[last])
    seconds, jobs = end.at - begin.at, last - first
    contestant, servers, stub = end.contestant - begin.contestant, end.servers - begin.servers, end.stub - begin.stub
    producer = end.producer - begin.producer
    return Figures(
        jobs_per_s=jobs / seconds,
        cpu_ms_per_job=1e3 * contestant / jobs,
        servers_cpu_ms_per_job=1e3 * servers / jobs,
        steady_seconds=seconds,
        stub_load=stub / seconds,
        other_load=(end.machine - begin.machine - contestant - servers - stub - producer) / seconds,
        polls_per_job=polls,
        completed=len(finished),
        submitted=submitted,
        producer_cpu_ms_per_job=1e3 * producer / jobs,
        database_cpu_ms_per_job=1e3 * (end.database - begin.database) / jobs,
        peak_mb=max(sample.resident for sample in samples) / MEGABYTE,
    )


def at(samples: Sequence[Sample], instant: float) -> Sample:
    """What the clocks showed at `instant`, between two samples by proportion."""
    after = min(max(bisect_left(samples, instant, key=lambda sample: sample.at), 1), len(samples) - 1)
    left, right = samples[after - 1], samples[after]
    share = (instant - left.at) / (right.at - left.at)
    pairs = zip(astuple(left), astuple(right), strict=True)
    return Sample(*(low + share * (high - low) for low, high in pairs))


@dataclass(frozen=True, slots=True)
class Verdict:
    """Recast against the others: medians over the rounds, ratios within each round."""

    jobs_per_s: float
    ratio_to_celery: float
    ratio_to_bare_loop: float
    cpu_ms_per_job: float
    polls_per_job: float
    #: Celery's CPU a job over Recast's: how they would compare if cores were all that counted.
    cpu_ratio_to_celery: float
    #: Lowest and highest ratio to Celery of any round.
    ratio_to_celery_range: tuple[float, float]
    #: None where it did not take part.
    ratio_to_dramatiq: float | None = None


@dataclass(frozen=True, slots=True)
class WaitedVerdict:
    """Recast against the others where a producer waits: medians over the rounds, ratios within each round."""

    jobs_per_s: float
    cpu_ms_per_job: float
    ratio_to_celery: float
    ratio_to_dramatiq: float
    cpu_ratio_to_celery: float
    cpu_ratio_to_dramatiq: float


def compare_waited(rounds: Sequence[Mapping[str, Figures]], *, celery: str) -> WaitedVerdict:
    """Compare `recast` with the contestant named in `celery`, and with `dramatiq`."""

    def cpu_ratio(other: str) -> float:
        return statistics.median(found[other].cpu_ms_per_job / found["recast"].cpu_ms_per_job for found in rounds)

    return WaitedVerdict(
        jobs_per_s=statistics.median(found["recast"].jobs_per_s for found in rounds),
        cpu_ms_per_job=statistics.median(found["recast"].cpu_ms_per_job for found in rounds),
        ratio_to_celery=_ratio(rounds, celery),
        ratio_to_dramatiq=_ratio(rounds, "dramatiq"),
        cpu_ratio_to_celery=cpu_ratio(celery),
        cpu_ratio_to_dramatiq=cpu_ratio("dramatiq"),
    )


def compare(rounds: Sequence[Mapping[str, Figures]], *, celery: Sequence[str]) -> Verdict:
    """Compare `recast` with the fastest of the contestants named in `celery`, and with `bare_loop`."""
    recast = [figures["recast"] for figures in rounds]
    best = [max((figures[name] for name in celery), key=lambda found: found.jobs_per_s) for figures in rounds]
    to_celery = [ours.jobs_per_s / theirs.jobs_per_s for ours, theirs in zip(recast, best, strict=True)]
    return Verdict(
        jobs_per_s=statistics.median(figures.jobs_per_s for figures in recast),
        ratio_to_celery=statistics.median(to_celery),
        ratio_to_bare_loop=_ratio(rounds, "bare_loop"),
        cpu_ms_per_job=statistics.median(figures.cpu_ms_per_job for figures in recast),
        polls_per_job=statistics.median(figures.polls_per_job for figures in recast),
        cpu_ratio_to_celery=statistics.median(
            theirs.cpu_ms_per_job / ours.cpu_ms_per_job for ours, theirs in zip(recast, best, strict=True)
        ),
        ratio_to_celery_range=(min(to_celery), max(to_celery)),
        ratio_to_dramatiq=_ratio(rounds, "dramatiq") if "dramatiq" in rounds[0] else None,
    )


def _ratio(rounds: Sequence[Mapping[str, Figures]], other: str) -> float:
    """How many times the work of another contestant Recast does, within each round."""
    return statistics.median(found["recast"].jobs_per_s / found[other].jobs_per_s for found in rounds)
