"""Intervals between looks that nothing learned plans: for lost submissions, and past a deadline. Pure."""

from __future__ import annotations

from workers.backoff import Backoff

INTERVAL_GROWTH = 1.5  # times as long as the one before is each interval
INTERVAL_CAP_SECONDS = 30.0  # a longer one would keep users waiting for what is there
ANOTHER_LOOK_SECONDS = 30.0  # after a first look past a deadline got no answer; twice as long after each further one
#: Looks past a deadline without an answer that give nothing up: with a deadline of 10 min they take three quarters of
#: an hour, in which a network, a proxy or a provider that was away with our workers is back.
SILENT_LOOKS = 8
LATE_LOOKS = 3  # polls after the deadline: a result that was paid for is still fetched


def silent_look(looks: int, *, deadline: float) -> float | None:
    """Seconds until another look past a deadline, after `looks` that told nothing; None after enough of them.

    Nothing is given up before: the workers, the network or the provider may have been away for all of the deadline.
    """
    return min(deadline, ANOTHER_LOOK_SECONDS * 2**looks) if looks < SILENT_LOOKS else None


def next_look(polls: int, *, interval: float, poll_every: float, left: float) -> float:
    """Seconds until the next look after `polls` of them.

    Grows from `interval`, is never under `poll_every`, and never leads past the deadline, which is `left` seconds away.
    """
    backoff = Backoff(first=interval, cap=max(interval, INTERVAL_CAP_SECONDS), factor=INTERVAL_GROWTH)
    return bounded(backoff.delay(polls), poll_every=poll_every, left=left)


def bounded(wait: float, *, poll_every: float, left: float) -> float:
    """`wait` seconds, but never past the deadline, and no sooner than the account allows."""
    return max(min(max(wait, poll_every), left), min(poll_every, max(left, 0.0)), 0.0)
