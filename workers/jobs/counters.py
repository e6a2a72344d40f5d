"""Counters for metrics: updated by the transactions that they count, so that no end is lost or counted twice.

A scrape reads a few hundred rows, however many jobs have ended. The rows are locked in the order of their keys, those
of attempts before and those of jobs after the rows that they count.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.states import FINAL_JOB_STATES, AttemptState
from workers.jobs.state_changes import AttemptMoved, Moved

JOBS_ENDED = "jobs_ended"
ATTEMPTS_ENDED = "attempts_ended"
#: Finished attempts by how long their provider took, each in the narrowest bucket that holds it.
LATENCY = "latency"
LATENCY_SECONDS = "latency_seconds"
POLLS = "polls"
SWEEP_FOUND = "sweep_found"

#: Upper bounds in seconds: providers take from two seconds to many minutes.
BUCKETS = (1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, float("inf"))

_ENDS = frozenset({AttemptState.DONE, AttemptState.REFUSED, AttemptState.NOT_SENT, AttemptState.EXPIRED})

Key = tuple[str, str]

_NUMBERS = Bulk[tuple[Key, float]](
    name=("text", lambda number: number[0][0]),
    labels=("text", lambda number: number[0][1]),
    value=("float8", lambda number: float(number[1])),
)
_ADD = text(f"""
    INSERT INTO tallies AS t ({_NUMBERS.names}, last_at)
    SELECT {_NUMBERS.names}, clock_timestamp() FROM {_NUMBERS.table} ORDER BY name, labels
    ON CONFLICT (name, labels) DO UPDATE SET value = t.value + excluded.value, last_at = excluded.last_at
""")


def key(name: str, **labels: str) -> Key:
    """The row of one number."""
    return name, json.dumps(labels, sort_keys=True, ensure_ascii=False)


def add(session: Session, numbers: Mapping[Key, float]) -> None:
    """Add to these numbers."""
    if numbers:
        session.execute(_ADD, _NUMBERS.of(numbers.items()))


def jobs_ended(session: Session, moved: Iterable[Moved]) -> None:
    """Count the jobs that ended, by how and why."""
    ends = Counter((move.now, move.reason or "") for move in moved if move.now in FINAL_JOB_STATES)
    add(session, {key(JOBS_ENDED, state=state, reason=reason): number for (state, reason), number in ends.items()})


def attempts_ended(session: Session, moved: Iterable[AttemptMoved]) -> None:
    """Count the attempts that ended, what they were polled, and how long their providers took."""
    numbers: dict[Key, float] = {}
    for attempt in moved:
        # A result requested again was counted the first time; a late poll of an expired attempt does not end it.
        if attempt.state not in _ENDS or attempt.state == attempt.was or attempt.refetches:
            continue
        place = {"account": attempt.account, "operation": attempt.operation}
        ended = key(ATTEMPTS_ENDED, **place, state=attempt.state, reason=attempt.reason or "")
        numbers[ended] = numbers.get(ended, 0) + 1
        if attempt.state != AttemptState.DONE:
            continue
        polls = key(POLLS, **place)
        numbers[polls] = numbers.get(polls, 0) + attempt.polls
        if attempt.reason is None and attempt.accepted_at and attempt.finished_at:
            seconds = (attempt.finished_at - attempt.accepted_at).total_seconds()
            bucket = key(LATENCY, **place, le=f"{next(bound for bound in BUCKETS if seconds <= bound):g}")
            numbers[bucket] = numbers.get(bucket, 0) + 1
            total = key(LATENCY_SECONDS, **place)
            numbers[total] = numbers.get(total, 0) + seconds
    add(session, numbers)
