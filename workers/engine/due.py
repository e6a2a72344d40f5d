"""Attempts that are due: their columns as polls and searches need them, by the database's clock."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from sqlalchemy import Row

from models.fragments import since, until
from models.states import AttemptState
from providers.spec import OpenAttempt


@dataclass(frozen=True, slots=True)
class Due:
    """An attempt whose poll, or whose search at the provider, is due. Times in seconds of the database's clock."""

    id: uuid.UUID
    job_id: str
    number: int
    operation: str
    state: AttemptState
    handle: str | None
    locator: str | None
    polls: int
    absences: int
    callback_token: str | None
    #: Since the provider took it (since it was sent, where that is unknown).
    age: float
    #: Until its deadline; negative once passed.
    left: float
    requested_at: datetime
    #: Its age when the provider last said "not yet"; 0 if it never did.
    pending_age: float = 0.0
    parts: tuple[str, ...] = ()
    #: How often the provider was asked again for a result that it had reported.
    refetches: int = 0
    #: Its age when the provider last called back; None if it never did.
    called_age: float | None = None
    #: When this was read, by the monotonic clock.
    read_at: float = field(default_factory=monotonic)

    @classmethod
    def read(cls, row: Row[Any]) -> Due:
        """What a row of `DUE` says."""
        values = row._asdict()
        return cls(**{**values, "state": AttemptState(values["state"]), "parts": tuple(values["parts"] or ())})

    @property
    def is_told(self) -> bool:
        """Whether the provider called back since it last said "not yet"."""
        return self.called_age is not None and self.called_age >= self.pending_age

    @property
    def result_age(self) -> float:
        """Its age when its result was there, if that is so now: when a callback told of it, or else now."""
        told = self.called_age or 0.0
        return told if self.is_told and told > 0 else self.age  # a callback may overtake the answer to the submission

    def as_of_now(self) -> Due:
        """The same at this moment: it waits for a connection between it is read and it is asked for."""
        now = monotonic()
        waited = now - self.read_at
        return replace(
            self, age=self.age + waited, left=self.left - waited,
            requested_at=self.requested_at + timedelta(seconds=waited), read_at=now,
        )  # fmt: skip

    def for_provider(self) -> OpenAttempt:
        """What an adapter is told of it."""
        return OpenAttempt(
            self.id, self.operation, self.handle, self.locator, self.age, self.left, self.parts, self.refetches > 0
        )


#: SQL: the columns of `Due`.
DUE = f"""
    id, job_id, number, operation, state, handle, locator, polls, absences, callback_token, refetches,
    clock_timestamp() AS requested_at, {since("coalesce(accepted_at, sent_at)")} AS age, {until("deadline_at")} AS left,
    parts, coalesce(extract(epoch FROM pending_at - coalesce(accepted_at, sent_at))::float8, 0) AS pending_age,
    extract(epoch FROM callback_at - coalesce(accepted_at, sent_at))::float8 AS called_age
"""
