"""Changes of state of jobs and attempts, as requested and as they happened."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from models.states import AttemptState, JobState, Reason


@dataclass(frozen=True, slots=True)
class JobMove:
    """One job's next state. `expected` narrows the states it may come from (all that `JOB_MOVES` allows otherwise)."""

    job_id: str
    to: JobState
    reason: Reason | None = None
    error: str | None = None
    expected: frozenset[JobState] | None = None
    #: Seconds before a queued job may be claimed again.
    wait: float = 0.0
    #: Number of the attempt that brought the move: one of a former version moves nothing.
    attempt: int | None = None
    #: The version that the move was decided for; another one stays where it is.
    version: int | None = None
    #: A job with that many paid attempts of this version fails instead of being queued.
    paid_limit: int | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """A job that did move."""

    job_id: str
    batch_id: int
    was: JobState
    now: JobState
    #: Whether webhooks may be waiting to hear of it.
    heard: bool = False
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class AttemptMove:
    """One attempt's next state and what was learned; None keeps what is there."""

    id: uuid.UUID
    to: AttemptState
    expected: frozenset[AttemptState] | None = None
    reason: Reason | None = None
    error: str | None = None
    handle: str | None = None
    parts: tuple[str, ...] = ()
    #: What it costs, where that turned out to be another sum than was booked.
    cost: Decimal | None = None
    accepted: bool = False
    #: Seconds since the answer came that says so: before it is written it waits for others, and for a connection.
    ago: float = 0.0
    #: Seconds until the next poll; None for no poll.
    poll_in: float | None = None
    polled: bool = False
    pending: bool = False
    absent: bool = False
    refetch: bool = False
    #: Whether the provider does not bill how it ended: it costs nothing any more.
    free: bool = False
    outputs: str | None = None
    raw: bytes | None = None
    #: When the question was asked that `poll_in` answers; a callback since then makes the poll due at once.
    requested_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AttemptMoved:
    """An attempt that did move, with what its spend was booked under."""

    id: uuid.UUID
    job_id: str
    number: int
    batch_id: int
    account: str
    cost: Decimal
    #: What was booked for it before this move.
    booked: Decimal
    sent_at: datetime
    accepted_at: datetime | None
    operation: str
    was: str
    state: str
    reason: str | None
    finished_at: datetime | None
    polls: int
    refetches: int
