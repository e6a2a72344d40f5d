"""What the API answers of accounts and money, and to changes, described by models as in `web.api.shapes`."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from web.api.shapes import MistakeShape, Money, Shape


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

    bulk_operation: str
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
    saving: int | None = None
    polled: int | None = None
    problems: dict[str, int] | None = None
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


class PilotCostShape(Shape):
    """The rows that a pilot sends first, and the most that they may cost."""

    rows: int
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
    #: Part of `cost.at_most`: what redos of flagged pictures may cost.
    redo_cap: Money
    pilot: PilotCostShape | None
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


class SampledShape(Shape):
    """How many jobs of a batch are in the sample that is sent first, and how many wait for a decision."""

    sample: int
    waiting: int


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
    #: While the batch has a pilot about which nobody has decided.
    pilot: SampledShape | None
    cost: Money
    at_most: Money


class RedoLineShape(LineShape):
    """Pictures at one account by one operation, each paid once, and with every repeat that may be paid."""

    at_most: Money


class CapShape(Shape):
    """A limit that is in force, and what was spent of it."""

    of: str
    limit: Money
    spent: Money
    left: Money


class RedoShape(Shape):
    """What a redo did, or would do; `left_out` says why jobs are not redone, and how many."""

    bulk_operation: str
    dry_run: bool
    jobs: int
    done: int
    cost: Money
    at_most: Money
    lines: list[RedoLineShape]
    caps: list[CapShape]
    left_out: dict[str, int]
    quote: QuoteShape | None = None


class SingleShape(Shape):
    """A job that was sent, or priced; `new` is false if it shares the job that has its `dedupe_key` already."""

    dry_run: bool
    job: str | None
    new: bool
    kind: str
    cost: Money
    at_most: Money
    lines: list[LineShape]
    quote: QuoteShape | None = None


class HeldShape(Shape):
    """A held job with its submission, whose outcome is not known."""

    id: str
    job_id: str
    batch: str
    key: str | None
    account: str
    operation: str
    cost: Money
    sent_at: datetime | None
    state: str
    error: str | None
    callback_at: datetime | None


class HeldJobs(Shape):
    """All held jobs that fit, and what may have been billed for them."""

    items: list[HeldShape]
    cost: Money


class ResolvedShape(Shape):
    """Held jobs about which was decided, or would be."""

    jobs: list[HeldShape]
    cost: Money
    resolved: bool
    quote: QuoteShape | None = None


class ScheduleRunShape(Shape):
    """One run of a schedule."""

    planned_at: datetime
    state: str
    by_hand: bool
    missed: int
    note: str | None
    batch: str | None
    started_at: datetime | None
    finished_at: datetime | None
    enqueued: dict[str, Any] | None
    outcome: dict[str, Any] | None
    cost: Money | None


class ScheduleDetail(ScheduleShape):
    """A schedule with its latest runs."""

    runs: list[ScheduleRunShape]


class WebhookShape(Shape):
    """A webhook, how many deliveries wait for it, were given up and arrived."""

    id: int
    url: str
    events: list[str]
    batches: list[str]
    created_at: datetime
    disabled_at: datetime | None
    disabled_note: str | None
    waiting: int
    dead: int
    delivered: int
    delivered_at: datetime | None
    error: str | None


class Webhooks(Shape):
    """All webhooks."""

    items: list[WebhookShape]


class DeliveryShape(Shape):
    """One event for one webhook."""

    id: str
    webhook: int
    event: str
    about: str | None
    created_at: datetime
    tries: int
    next_at: datetime | None
    delivered_at: datetime | None
    error: str | None
    state: str


class Deliveries(Shape):
    """The latest deliveries."""

    items: list[DeliveryShape]
