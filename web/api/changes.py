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
