"""What the API answers, described by models: the document is made of them, and tests hold every answer to them.

What viewers do not see is left out of their answers, so it is not required.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict


class Shape(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(extra="forbid")


class Money(Shape):
    """An amount and its currency."""

    amount: str
    currency: str


class MistakeShape(Shape):
    """One mistake in a row of a catalog."""

    line: int
    key: str
    column: str
    message: str


class CurrentVerdictShape(Shape):
    """The verdict that came first."""

    verdict: str
    verdict_id: int
    reviewer: str | None
    at: datetime | None


class ProblemShape(Shape):
    """Why a request was not answered as it was asked (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None
    value: str | float | bool | None = None
    allowed: str | None = None
    total: int | None = None
    mistakes: list[MistakeShape] | None = None
    current: CurrentVerdictShape | None = None


class VerdictsShape(Shape):
    """Jobs by verdict, and what an approved one costs."""

    name: str | None
    made: int
    approved: int
    needs_work: int
    unreviewed: int
    spent: Money | None = None
    per_approved: Money | None = None


class BatchShape(Shape):
    """A batch: its jobs by state, its money, and why it does not continue."""

    batch: str
    label: str | None
    states: dict[str, int]
    made: int
    needs_you: int
    rejected: int
    waiting: int
    settled: bool
    spent: Money | None = None
    max_cost: Money | None = None
    max_in_flight: int | None
    paused: str | None
    created_at: datetime
    obstacles: list[str] | None = None
    review: VerdictsShape


class EndingShape(Shape):
    """A job that did not succeed."""

    id: str
    key: str | None
    state: str
    reason: str | None
    error: str | None = None
    finished_at: datetime | None


class BatchDetail(BatchShape):
    """A batch with its latest jobs that did not succeed."""

    latest_bad: list[EndingShape]


class Batches(Shape):
    """A page of batches, newest first; `next` is null on the last one."""

    items: list[BatchShape]
    next: int | None


class JobShape(Shape):
    """A job in a list."""

    id: str
    batch: str
    key: str | None
    kind: str
    state: str
    reason: str | None
    error: str | None = None
    account: str | None = None
    operation: str | None = None
    created_at: datetime
    finished_at: datetime | None


class Jobs(Shape):
    """A page of jobs, newest first; `next` is null on the last one."""

    items: list[JobShape]
    next: str | None


class ResultShape(Shape):
    """A stored picture, and what people say of it."""

    id: int
    job: str
    key: str | None
    index: int
    attempt: int
    sha256: str
    size: int
    media_type: str
    width: int
    height: int
    created_at: datetime
    present: bool
    chosen: bool
    flags: list[str]
    verdict_id: int
    verdict: str
    reasons: list[str]
    note: str | None
    reviewer: str | None
    reviewed_at: datetime | None


class ManyDecidedShape(Shape):
    """Pictures that were chosen, and decided about; `left_out` says why others were not, and how many."""

    dry_run: bool
    pictures: int
    done: int
    left_out: dict[str, int]


class ChecksShape(Shape):
    """How many pictures each check flagged, and how many any of them did; `waiting` are still to be checked."""

    counts: dict[str, int]
    pictures: int
    waiting: int


class Results(Shape):
    """A page of results in the order of the batch; `next` is null on the last one."""

    items: list[ResultShape]
    next: int | None


class RequestShape(Shape):
    """What one version of a job asks for, and how it ended."""

    version: int
    kind: str
    source: str | None = None
    target: str | None = None
    image: str | None = None
    prompt: str | None
    options: dict[str, Any] | None = None
    account: str | None = None
    provider: str | None = None
    operation: str | None = None
    extra: dict[str, Any]
    state: str
    reason: str | None
    error: str | None = None
    started_at: datetime | None
    finished_at: datetime | None


class FormerVersionShape(RequestShape):
    """A version that was replaced."""

    last_attempt: int
    replaced_at: datetime


class PresentVersionShape(RequestShape):
    """The present version of a job."""

    id: str
    batch: str
    batch_id: int
    key: str | None
    lane: str | None = None
    priority: int
    dedupe_key: str | None
    created_at: datetime
    not_before: datetime | None
    expires_at: datetime | None
    erased_at: datetime | None
    kept_attempt: int | None


class AttemptShape(Shape):
    """One submission to a provider."""

    reference: str
    number: int
    version: int
    account: str | None = None
    operation: str | None = None
    state: str
    reason: str | None
    error: str | None = None
    handle: str | None
    send_count: int
    cost: Money | None = None
    passed_over: str | None
    created_at: datetime
    sent_at: datetime
    accepted_at: datetime | None
    finished_at: datetime | None
    next_poll_at: datetime | None
    deadline_at: datetime
    callback_at: datetime | None
    polls: int
    answer: str | None


class JobResultShape(Shape):
    """A stored picture of a job, with its file."""

    id: int
    index: int
    attempt: int
    version: int
    uri: str | None = None
    key: str
    sha256: str
    original_key: str | None = None
    original_sha256: str | None = None
    mark_start: int | None = None
    mark_length: int | None = None
    size: int
    media_type: str
    width: int
    height: int
    facts: dict[str, Any] | None = None
    provenance: str | None
    source_type: str | None
    checks: list[dict[str, Any]]
    created_at: datetime


class JobDetailShape(Shape):
    """Everything of one job."""

    job: PresentVersionShape
    attempts: list[AttemptShape] | None = None
    results: list[JobResultShape]
    versions: list[FormerVersionShape]
    cost: Money | None = None


class EventShape(Shape):
    """The data of an event: of `batch`, `job` or `verdict`, each with its own fields; or of `gap`."""

    batch: str | None = None
    #: Of a batch.
    states: dict[str, int] | None = None
    made: int | None = None
    needs_you: int | None = None
    rejected: int | None = None
    waiting: int | None = None
    settled: bool | None = None
    paused: str | None = None
    spent: Money | None = None
    #: Of a job, and of a verdict about one of its pictures.
    job: str | None = None
    key: str | None = None
    kind: str | None = None
    version: int | None = None
    state: str | None = None
    reason: str | None = None
    error: str | None = None
    finished_at: datetime | None = None
    verdict_id: int | None = None
    result: int | None = None
    verdict: str | None = None
    reasons: list[str] | None = None
    reviewer: str | None = None
    at: datetime | None = None
    #: Of a gap.
    detail: str | None = None
