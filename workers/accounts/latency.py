"""When to poll: learned first looks and growing intervals. Pure.

A first poll that finds "not yet" costs a call, one that comes late costs the user's time. So each operation keeps an
estimate that about nine first looks in ten find a result at: every "not yet" raises it a good step, every result
lowers it a little. A few jobs in a hundred are looked at early, so that a provider that became faster is noticed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from workers.backoff import Backoff, jittered

HIT_SHARE = 0.9  # of first looks that should find a result
STEP = 0.05  # of the estimate, moved by one miss
EARLY_SHARE = 0.03  # of jobs looked at before their time
EARLY_FACTOR = 0.5
INTERVAL_SHARE = 0.1  # of the latency: a look that came too soon is repeated a tenth later
INTERVAL_GROWTH = 1.5
INTERVAL_CAP_SECONDS = 30.0
LATE_LOOKS = 3  # polls after the deadline: a result that was paid for is still fetched


class Latencies:
    """Learned seconds until a first look, by operation."""

    def __init__(self, learned: Mapping[str, Any] | None = None) -> None:
        self._seconds = {
            name: float(value)
            for name, value in (learned or {}).items()
            if isinstance(value, int | float) and value > 0
        }

    def first_look(self, operation: str, typical: float, poll_every: float) -> float:
        """When to look first: at the estimate, slightly spread, and early for a few jobs.

        Before anything was learned it is one interval, so that the first results teach.
        """
        seconds = self._seconds.get(operation)
        if seconds is None:
            return jittered(self.interval(operation, typical, poll_every), STEP)
        early = random.random() < EARLY_SHARE  # noqa: S311 - chooses a sample, guards nothing
        return max(poll_every, seconds * EARLY_FACTOR if early else jittered(seconds, STEP))

    def interval(self, operation: str, typical: float, poll_every: float) -> float:
        """The interval that later looks grow from: a share of the latency, and never under `poll_every`."""
        return max(poll_every, INTERVAL_SHARE * self._seconds.get(operation, typical))

    def expected(self, operation: str, typical: float, poll_every: float) -> float:
        """Seconds from acceptance until a look finds a result, on average: what a job keeps its place for."""
        first = max(poll_every, self._seconds.get(operation, typical))
        return first + (1 - HIT_SHARE) * self.interval(operation, typical, poll_every)

    def learn(self, operation: str, age: float, *, polls: int, done: bool) -> None:
        """Take in a look, after `polls` earlier ones, `age` seconds after acceptance."""
        seconds = self._seconds.get(operation)
        if seconds is None:
            if done:
                self._seconds[operation] = age
            return
        if polls > 0:
            return
        # Only a look near the estimate says something about it: a backlog polled late must not drag it down.
        if done and age < seconds * (1 + EARLY_FACTOR) / 2:
            seconds = (seconds + age) / 2  # an early look that found it: the provider became faster
        elif done and age <= seconds * (1 + 2 * STEP):
            seconds *= 1 - STEP * (1 - HIT_SHARE)
        elif not done and age >= seconds * (1 - 2 * STEP):
            seconds *= 1 + STEP * HIT_SHARE
        self._seconds[operation] = seconds

    def as_document(self) -> dict[str, float]:
        """What to keep in the account's row."""
        return {name: round(seconds, 4) for name, seconds in self._seconds.items()}


def next_look(polls: int, *, interval: float, poll_every: float, left: float) -> float:
    """Seconds until the next poll after `polls` of them.

    Grows from `interval`, is never under `poll_every`, and never leads past the deadline, which is `left` seconds away.
    """
    backoff = Backoff(first=interval, cap=max(interval, INTERVAL_CAP_SECONDS), factor=INTERVAL_GROWTH)
    return max(min(backoff.delay(polls), left), min(poll_every, max(left, 0.0)), 0.0)
