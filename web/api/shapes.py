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


class StandingShape(Shape):
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
    standing: StandingShape | None = None


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
    verdict_id: int
    verdict: str
    reasons: list[str]
    note: str | None
    reviewer: str | None
    reviewed_at: datetime | None


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
    created_at: datetime


class JobDetailShape(Shape):
    """Everything of one job."""

    job: PresentVersionShape
    attempts: list[AttemptShape] | None = None
    results: list[JobResultShape]
    versions: list[FormerVersionShape]
    cost: Money | None = None


class AccountShape(Shape):
    """An account at a provider, with its limits and its state."""

    account: str
    provider: str
    operations: list[str]
    open: bool
    closed_reason: str | None
    closed_note: str | None
    closed_seconds: float | None
    failures: int
    in_flight: int
    max_in_flight: int
    rate_per_second: float | None
    order: int | None
    prices: dict[str, Any]
    budget: dict[str, Any]
    overrides: dict[str, Any]
    overridden_by: str | None
    overridden_at: datetime | None


class Accounts(Shape):
    """All accounts."""

    items: list[AccountShape]


class Spend(Shape):
    """Sums of spending; each row has a name under the word that it is summed by."""

    by: str
    month: str | None
    rows: list[dict[str, Any]]
    total: Money


class ScheduleShape(Shape):
    """A catalog that runs at planned times, with its latest run."""

    name: str
    catalog: str
    cron: str
    zone: str
    overlap: str
    catch_up: str
    catch_up_seconds: int
    options: dict[str, Any]
    paused_at: datetime | None
    next_at: datetime | None
    last: dict[str, Any] | None


class Schedules(Shape):
    """All schedules."""

    items: list[ScheduleShape]


class DecidedShape(Shape):
    """A verdict that was written, and what counts for its job now."""

    verdict_id: int
    job_id: str
    result_id: int
    verdict: str
    job_verdict: str
    chosen: int | None
    at: datetime


class LineShape(Shape):
    """Jobs at one account by one operation."""

    account: str
    operation: str
    jobs: int
    cost: Money
    priced: bool


class QuoteShape(Shape):
    """An offer that can be taken once."""

    quote: str
    ceiling: Money
    expires_at: datetime


class ImpactShape(Shape):
    """What a change of many jobs did, or would do."""

    lever: str
    dry_run: bool
    jobs: int
    done: int
    cost: Money
    lines: list[LineShape]
    paid: list[LineShape]
    downloadable: int
    batches: int | None = None
    still_being_sent: dict[str, int] | None = None
    need_a_limit: list[dict[str, Any]] | None = None
    quote: QuoteShape | None = None


class PriceShape(Shape):
    """What one job by one operation costs at one account, with its default options."""

    operation: str
    account: str
    price: Money


class PartShape(Shape):
    """Jobs that are expected at one account."""

    operation: str
    account: str
    jobs: float


class CostShape(Shape):
    """What a run may cost."""

    cheapest: Money
    likely: Money
    dearest: Money
    at_most: Money


class PlanShape(Shape):
    """What a run would do and cost; `quote` is null where nothing would be queued."""

    batch: str
    rows: int
    verdicts: dict[str, int]
    queued: int
    lanes: dict[str, int]
    parts: list[PartShape]
    cost: CostShape
    prices: list[PriceShape]
    paid_attempts: int
    max_cost: dict[str, Any] | None
    made_from: str | None
    same_picture: list[str]
    downloadable: int
    unpriced: list[str]
    seconds: float | None
    bounds: dict[str, str]
    waiting: list[str]
    closed: dict[str, str]
    refused: list[MistakeShape]
    quote: QuoteShape | None


class RunShape(Shape):
    """What became of a catalog's rows."""

    batch: str
    queued: int
    new: int
    retried: int
    changed: int
    unchanged: int
    left: int
    in_work: int
    left_out: int
    held: int
    downloadable: int
    cost: Money
    at_most: Money
