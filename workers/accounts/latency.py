"""Poll times: a learned time for the first poll, and growing intervals after it. Pure.

A first poll that finds "not yet" costs a call, one that comes late costs the user's time. So each operation keeps a
learned time at which about nine first polls in ten find a result: every "not yet" raises it a good step, every result
lowers it a little. A few jobs in a hundred are polled early, so that a provider that became faster is noticed.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from workers.backoff import Backoff, jittered

HIT_SHARE = 0.9  # of first polls that should find a result
STEP = 0.05  # of the learned time, moved by one miss
EARLY_SHARE = 0.03  # of jobs polled before their time
EARLY_FACTOR = 0.5
INTERVAL_SHARE = 0.1  # of the latency: a poll that came too soon is repeated a tenth later
INTERVAL_GROWTH = 1.5
INTERVAL_CAP_SECONDS = 30.0
ANOTHER_LOOK_SECONDS = 30.0  # after a first look past a deadline got no answer; twice as long after each further one
#: Looks past a deadline without an answer that give nothing up: with a deadline of 10 min they take three quarters of
#: an hour, in which a network, a proxy or a provider that was away with our workers is back.
SILENT_LOOKS = 8
LATE_LOOKS = 3  # polls after the deadline: a result that was paid for is still fetched


class Latencies:
    """Learned seconds until the first poll, by operation."""

    def __init__(self, learned: Mapping[str, Any] | None = None) -> None:
        self._seconds = {
            name: float(value)
            for name, value in (learned or {}).items()
            if isinstance(value, int | float) and value > 0
        }

    def first_look(self, operation: str, typical: float, poll_every: float) -> float:
        """Seconds until the first poll: the learned time, slightly spread, and less for a few jobs.

        Before anything was learned it is one interval, so that the first results can be learned from.
        """
        seconds = self._seconds.get(operation)
        if seconds is None:
            return jittered(self.interval(operation, typical, poll_every), STEP)
        early = random.random() < EARLY_SHARE  # noqa: S311 - chooses a sample, guards nothing
        return max(poll_every, seconds * EARLY_FACTOR if early else jittered(seconds, STEP))

    def interval(self, operation: str, typical: float, poll_every: float) -> float:
        """The interval that later polls grow from: a share of the latency, and never under `poll_every`."""
        return max(poll_every, INTERVAL_SHARE * self._seconds.get(operation, typical))

    def expected(self, operation: str, typical: float, poll_every: float) -> float:
        """Average seconds from acceptance until a poll finds the result: how long a job occupies its place."""
        first = max(poll_every, self._seconds.get(operation, typical))
        return first + (1 - HIT_SHARE) * self.interval(operation, typical, poll_every)

    def learn(self, operation: str, age: float, *, polls: int, done: bool) -> None:
        """Learn from a poll, after `polls` earlier ones, `age` seconds after acceptance."""
        seconds = self._seconds.get(operation)
        if seconds is None:
            if done:
                self._seconds[operation] = age
            return
        if polls > 0:
            return
        # Only a poll near the learned time counts: a backlog polled late must not lower it.
        if done and age < seconds * (1 + EARLY_FACTOR) / 2:
            seconds = (seconds + age) / 2  # an early poll that found it: the provider became faster
        elif done and age <= seconds * (1 + 2 * STEP):
            seconds *= 1 - STEP * (1 - HIT_SHARE)
        elif not done and age >= seconds * (1 - 2 * STEP):
            seconds *= 1 + STEP * HIT_SHARE
        self._seconds[operation] = seconds

    def as_document(self) -> dict[str, float]:
        """What to keep in the account's row."""
        return {name: round(seconds, 4) for name, seconds in self._seconds.items()}


def silent_look(looks: int, *, deadline: float) -> float | None:
    """Seconds until another look past a deadline, after `looks` that told nothing; None after enough of them.

    Nothing is given up before: the workers, the network or the provider may have been away for all of the deadline.
    """
    return min(deadline, ANOTHER_LOOK_SECONDS * 2**looks) if looks < SILENT_LOOKS else None


def next_look(polls: int, *, interval: float, poll_every: float, left: float) -> float:
    """Seconds until the next poll after `polls` of them.

    Grows from `interval`, is never under `poll_every`, and never leads past the deadline, which is `left` seconds away.
    """
    backoff = Backoff(first=interval, cap=max(interval, INTERVAL_CAP_SECONDS), factor=INTERVAL_GROWTH)
    return max(min(backoff.delay(polls), left), min(poll_every, max(left, 0.0)), 0.0)
