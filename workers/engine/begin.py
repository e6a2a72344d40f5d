"""Begin: the one transaction that decides what may be paid, and inserts the attempts of prepared jobs."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.fragments import seconds_from_now
from models.states import Closure, JobState
from workers.accounts import admission, budget
from workers.commit_log import on_commit
from workers.config.accounts import Account
from workers.engine.claims import Claim, unclaim
from workers.jobs.lanes import lane_operation
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed job whose inputs are prepared, as much of it as `begin` writes down."""

    claim: Claim
    cost: Decimal
    locator: str | None
    callback_token: str | None


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` decided: the attempts that are committed, and what held the rest back."""

    started: frozenset[uuid.UUID]
    sent_at: datetime
    blocked_by: Closure | admission.Limit | None
    ask_in: float | None
    count: admission.Count


_ATTEMPTS = Bulk[Ready](
    id=("uuid", lambda ready: ready.claim.reference),
    job_id=("text", lambda ready: ready.claim.job_id),
    number=("int", lambda ready: ready.claim.number),
    batch_id=("int", lambda ready: ready.claim.batch_id),
    operation=("text", lambda ready: ready.claim.operation),
    locator=("text", lambda ready: ready.locator),
    callback_token=("text", lambda ready: ready.callback_token),
    cost=("numeric", lambda ready: ready.cost),
    passed_over=("text", lambda ready: ready.claim.passed_over),
)
_INSERT = text(f"""
    INSERT INTO attempts AS a ({_ATTEMPTS.names}, account, state, sent_at, deadline_at)
    SELECT {_ATTEMPTS.names}, :account, 'sending', clock_timestamp(), {seconds_from_now(":deadline")}
    FROM {_ATTEMPTS.table} ORDER BY w.id
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, send_count = a.send_count + 1, sent_at = excluded.sent_at,
        deadline_at = excluded.deadline_at, locator = excluded.locator, callback_token = excluded.callback_token,
        cost = excluded.cost, passed_over = excluded.passed_over, reason = NULL, error = NULL, absences = 0
    WHERE a.state = 'not_sent' AND a.account = excluded.account
    RETURNING id, sent_at
""")

# Pausing a batch, and pausing or rerouting a job, writes its row. So under these locks either that is seen, or the
# attempt will be `sending` by the time the other transaction gets the row.
_LOCK_UNPAUSED = text("""
    WITH ours AS (SELECT id, batch_id, lane FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE),
    theirs AS (
        SELECT id, paused_at, max_in_flight, running FROM batches
        WHERE id > 0 AND id IN (SELECT batch_id FROM ours) ORDER BY id FOR UPDATE
    )
    SELECT ours.id, ours.lane, ours.batch_id, theirs.max_in_flight - theirs.running AS room
    FROM ours LEFT JOIN theirs ON theirs.id = ours.batch_id WHERE theirs.paused_at IS NULL
""")


_PAUSE = text("""
    UPDATE batches SET paused_at = clock_timestamp(), paused_reason = 'budget'
    WHERE id = ANY(:ids) AND paused_at IS NULL RETURNING name, max_cost
""")

_QUEUED = frozenset({JobState.QUEUED})


def begin(session: Session, account: Account, ready: Sequence[Ready], known: admission.Count | None = None) -> Begun:
    """Insert the attempts that admission and the budgets allow; after the commit these, and only these, may be sent.

    Jobs that may not be sent now return to the queue.
    """
    room_for = account.max_in_flight - len(ready)
    seen = admission.read(session, account.name, lock=True, known=known, room_for=room_for)
    account = account.with_overrides(seen.overrides)
    allowed = admission.allowance(seen, account, len(ready))
    chosen = _unpaused(session, account, ready[: allowed.number])
    chosen, closed = _affordable(session, account, chosen, seen.now)
    started, sent_at = _start(session, account, chosen)
    # Booked under the attempt's own time, under which a refusal gives it back: midnight may pass in between.
    budget.book(
        session,
        [
            budget.Booking(account.name, item.claim.batch_id, item.cost, sent_at[item.claim.reference])
            for item in started
        ],
    )
    unused = allowed.number - len(started)
    tokens = None if allowed.tokens is None else allowed.tokens + unused
    admission.count_begun(session, account.name, len(started), tokens, seen.now)
    moved = {item.claim.job_id for item in started}
    unclaim(session, [item.claim.job_id for item in ready if item.claim.job_id not in moved])
    first = min(sent_at.values(), default=seen.now)
    return Begun(frozenset(sent_at), first, closed or allowed.blocked_by, allowed.ask_in, seen.count)


def _unpaused(session: Session, account: Account, ready: Sequence[Ready]) -> list[Ready]:
    """Those that may go to this account still, and that their batches have room for; their jobs are locked by it."""
    # Spend is locked last everywhere, but must be read before the jobs are moved, so these rows are locked first.
    rows = session.execute(_LOCK_UNPAUSED, {"ids": [item.claim.job_id for item in ready]}).all()
    operations = {row.id: lane_operation(row.lane, account) for row in rows}
    chosen = [item for item in ready if operations.get(item.claim.job_id) == item.claim.operation]
    return _within(chosen, {row.batch_id: row.room for row in rows if row.room is not None})


def _affordable(
    session: Session, account: Account, ready: Sequence[Ready], at: datetime
) -> tuple[list[Ready], Closure | None]:
    """Those that the budgets allow, and why the account is closed for the others, if it is."""
    left = budget.budgets(session, account, {item.claim.batch_id for item in ready}, at)
    answers = left.affordable([(item.claim.batch_id, item.cost) for item in ready])
    chosen = [item for item, ok in zip(ready, answers, strict=True) if ok]
    unaffordable = [item for item, ok in zip(ready, answers, strict=True) if not ok]
    if not unaffordable:
        return chosen, None
    left = left.after((item.claim.batch_id, item.cost) for item in chosen)
    return chosen, _close_for_budget(session, account, left, unaffordable, at)


def _start(session: Session, account: Account, ready: Sequence[Ready]) -> tuple[list[Ready], dict[uuid.UUID, datetime]]:
    """Move jobs to running and write their attempts: those that did move, and when each attempt was written."""
    moves = [
        JobMove(item.claim.job_id, JobState.RUNNING, expected=_QUEUED, version=item.claim.version)
        for item in sorted(ready, key=lambda item: item.claim.job_id)
    ]
    moved = {move.job_id for move in move_jobs(session, moves)}
    started = [item for item in ready if item.claim.job_id in moved]
    if not started:
        return [], {}
    attempts = {**_ATTEMPTS.of(started), "account": account.name, "deadline": account.deadline}
    sent_at = {row.id: row.sent_at for row in session.execute(_INSERT, attempts)}
    if len(sent_at) != len(started):
        raise RuntimeError(f"{len(started) - len(sent_at)} attempts of {account.name} already exist in another state")
    return started, sent_at


def _within(chosen: Sequence[Ready], rooms: Mapping[int, int]) -> list[Ready]:
    """Those that their batches have room for; the batches' rows are locked, so the room stays until the commit."""
    left, fitting = dict(rooms), []
    for item in chosen:
        room = left.get(item.claim.batch_id)
        if room is None or room > 0:
            fitting.append(item)
            if room is not None:
                left[item.claim.batch_id] = room - 1
    return fitting


def _close_for_budget(
    session: Session, account: Account, left: budget.Budgets, unaffordable: Sequence[Ready], at: datetime
) -> Closure | None:
    """Close what ran out of money: the account until its budgets' periods end, or the batch until its limit is raised.

    `left` is what remains when all that can be paid is paid.
    """
    cheapest = min(item.cost for item in unaffordable)
    spent_periods = left.spent_periods(cheapest)
    if spent_periods:
        limits = [(account.budget[period], period) for period in spent_periods]
        said = ", ".join(f"{limit} a {period}" for limit, period in limits)
        seconds = max(budget.seconds_left(period, at) for period in spent_periods)
        admission.stop_for(session, account.name, Closure.BUDGET, seconds, f"the budget of {said} is spent")
        return Closure.BUDGET
    spent = {
        item.claim.batch_id for item in unaffordable if left.batches.get(item.claim.batch_id, item.cost) < item.cost
    }
    for batch in session.execute(_PAUSE, {"ids": sorted(spent)}):
        on_commit(session, log.warning, "batch_paused", batch=batch.name, reason="budget", max_cost=str(batch.max_cost))
    return None
