"""What the pilot of a batch says: its sample by state and verdict, and what the rest would cost and bring."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import ROUND_HALF_UP, Decimal
from functools import reduce
from operator import xor
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import has_picture, paid_for
from models.pilots import PilotDecision
from models.states import FINAL_JOB_STATES, JobState
from recast.money import DECIMALS, Money
from reports.queued import queued_lanes
from reports.wilson import interval
from workers.accounts.overrides import in_force
from workers.cache import Cache
from workers.config.accounts import Account
from workers.jobs.lanes import IS_WAITING, WAITING, bare, lane_operation
from workers.operations.costs import PRICED_OPTIONS

_STEP = Decimal(1).scaleb(-DECIMALS)
_PILOT = text("""
    SELECT p.size, p.decision, p.decided_at, p.decided_by, b.queued FROM pilots p JOIN batches b ON b.id = p.batch_id
    WHERE p.batch_id = :batch_id
""")
_SAMPLE = text(f"""
    SELECT j.lane, j.state, {has_picture("j")} AS made, coalesce(w.verdict, 'unreviewed') AS verdict,
        count(*) AS number, coalesce(sum(paid.cost), 0) AS cost
    FROM pilot_jobs p JOIN jobs j ON j.id = p.job_id LEFT JOIN reviews w ON w.job_id = j.id
    LEFT JOIN LATERAL {paid_for("j.id")} paid ON true
    WHERE p.batch_id = :batch_id GROUP BY 1, 2, 3, 4
""")
_WAITING = text(f"""
    SELECT lane, {PRICED_OPTIONS} AS options, count(*) AS number,
        bit_xor(hashtextextended(id || ' ' || version, 0)) AS which FROM jobs j
    WHERE batch_id = :batch_id AND state = 'queued' AND {IS_WAITING} GROUP BY 1, 2
""")


#: Jobs: their lane, the options that prices depend on, and how many they are.
Groups = Sequence[tuple[str, Mapping[str, object], int]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """The jobs that wait."""

    groups: Groups
    #: Which versions of which jobs they are; others have another number.
    which: int


#: What waits, by batch and how many jobs that is.
KeptWaiting = Cache[tuple[int, int], Waiting]


@dataclass(frozen=True, slots=True)
class RestCost:
    """What the waiting jobs would cost."""

    #: Each paid once, at its cheapest account.
    low: Decimal
    #: As the sample did in the mean, by lane, between the two others; where it has none of a lane, each once at its
    #: dearest account.
    likely: Decimal
    #: With every attempt that may be paid, at the dearest account.
    at_most: Decimal
    #: Whether all prices are known.
    priced: bool = True


@dataclass(frozen=True, slots=True)
class Acceptance:
    """How many of the waiting jobs people would accept, with 95 % confidence, of what was decided in the sample."""

    decided: int
    low: int
    likely: int | None
    high: int


@dataclass(frozen=True, slots=True)
class PilotReport:
    """A pilot as it stands."""

    size: str
    decision: PilotDecision | None
    decided_at: datetime | None
    decided_by: str | None
    #: Jobs of the sample, and what became of them.
    sample: int
    made: int
    failed: int
    held: int
    open: int
    approved: int
    needs_work: int
    spent: Decimal
    #: The rest.
    waiting: int
    which: int
    rest: RestCost
    accepted: Acceptance

    @property
    def unreviewed(self) -> int:
        """Pictures of the sample that nobody has decided about."""
        return self.made - self.approved - self.needs_work


def pilot_of(
    session: Session, batch_id: int, accounts: Mapping[str, Account], paid_attempts: int,
    kept: KeptWaiting | None = None,
) -> PilotReport | None:  # fmt: skip
    """The pilot of a batch; None where it never had one. With `kept`, what waits is read when its number changes."""
    found = session.execute(_PILOT, {"batch_id": batch_id}).first()
    if found is None:
        return None
    rows = session.execute(_SAMPLE, {"batch_id": batch_id}).all()
    pictures = [row for row in rows if row.made]
    without = {JobState.FAILED, JobState.REJECTED, JobState.CANCELED}
    made, failed = sum(row.number for row in pictures), sum(row.number for row in rows if row.state in without)
    approved = sum(row.number for row in pictures if row.verdict == "approved")
    needs_work = sum(row.number for row in pictures if row.verdict == "needs_work")
    # After the decision, jobs that wait no more are queued still.
    kept = KeptWaiting(1) if kept is None or found.decision is not None else kept
    unsampled = found.queued - sum(row.number for row in rows if row.state == JobState.QUEUED)
    waiting = kept.get_or_make((batch_id, unsampled), lambda: _waiting(session, batch_id))
    rest = sum(number for *_, number in waiting.groups)
    means = mean_costs([(bare(row.lane), row.number, row.cost) for row in rows if row.state in FINAL_JOB_STATES])
    return PilotReport(
        found.size, None if found.decision is None else PilotDecision(found.decision), found.decided_at,
        found.decided_by, sample=sum(row.number for row in rows), made=made, failed=failed,
        held=sum(row.number for row in rows if row.state == JobState.HELD),
        open=sum(row.number for row in rows if row.state not in FINAL_JOB_STATES),
        approved=approved, needs_work=needs_work, spent=sum((row.cost for row in rows), Decimal(0)), waiting=rest,
        which=waiting.which,
        rest=rest_cost(
            waiting.groups, means, in_force(session, accounts), paid_attempts
        ),
        accepted=acceptance(approved, approved + needs_work + failed, rest),
    )  # fmt: skip


def lanes_waiting(session: Session, batch_id: int) -> set[str]:
    """The lanes of the jobs that wait, without what holds them back."""
    return {bare(lane) for lane in queued_lanes(session, batch_id) if WAITING in lane}


def _waiting(session: Session, batch_id: int) -> Waiting:
    if not lanes_waiting(session, batch_id):  # as after the decision, when a million may be queued that do not wait
        return Waiting([], 0)
    rows = session.execute(_WAITING, {"batch_id": batch_id}).all()
    groups = [(bare(row.lane), row.options, row.number) for row in rows]
    return Waiting(groups, reduce(xor, (row.which for row in rows), 0))


def document(batch: str, found: PilotReport, currency: str) -> dict[str, Any]:
    """A pilot in JSON."""
    rest = {name: Money(getattr(found.rest, name), currency) for name in ("low", "likely", "at_most")}
    said = {name: value for name, value in asdict(found).items() if name != "which"}
    return {
        **said, "batch": batch, "unreviewed": found.unreviewed, "spent": Money(found.spent, currency),
        "rest": {**rest, "priced": found.rest.priced},
    }  # fmt: skip


def mean_costs(ended: list[tuple[str, int, Decimal]]) -> dict[str, Decimal]:
    """What a job of each lane cost in the mean, of lanes, numbers of jobs and their costs."""
    numbers: dict[str, int] = {}
    costs: dict[str, Decimal] = {}
    for lane, number, cost in ended:
        numbers[lane] = numbers.get(lane, 0) + number
        costs[lane] = costs.get(lane, Decimal(0)) + cost
    return {lane: costs[lane] / number for lane, number in numbers.items()}


def rest_cost(
    waiting: Groups, means: Mapping[str, Decimal], accounts: Mapping[str, Account], paid_attempts: int,
) -> RestCost:  # fmt: skip
    """What jobs would cost, given by lane, options and number; `means` are what others of their lanes cost."""
    low = likely = most = Decimal(0)
    priced = True
    for lane, options, number in waiting:
        serving = [(each, name) for each in accounts.values() if (name := lane_operation(lane, each)) is not None]
        costs = [each.cost(each.operations[name], options) for each, name in serving]
        priced = priced and bool(costs) and all(name.partition(".")[2] in each.prices for each, name in serving)
        dearest = max(costs, default=Decimal(0))
        low += min(costs, default=Decimal(0)) * number
        most += dearest * number * paid_attempts
        likely += means.get(lane, dearest) * number
    # Rows of one lane can have several prices, and a sample may have had the cheap ones.
    return RestCost(low, min(max(low, likely), most).quantize(_STEP, ROUND_HALF_UP), most, priced)


def acceptance(approved: int, decided: int, waiting: int) -> Acceptance:
    """How many of `waiting` would be accepted, if of `decided` jobs `approved` were; a failed one is not accepted."""
    low, high = interval(approved, decided)
    likely = round(waiting * approved / decided) if decided else None
    return Acceptance(decided, int(low * waiting), likely, -int(-high * waiting // 1))
