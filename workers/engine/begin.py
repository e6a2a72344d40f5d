"""Turning prepared jobs into attempts, exactly: what may be paid is decided here, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.attempts import client_reference
from models.states import JobState
from workers.accounts import admission, budget
from workers.commit_log import on_commit
from workers.config.accounts import Account
from workers.engine.claims import Claim, unclaim
from workers.jobs.lanes import lane_operation
from workers.jobs.moves import JobMove
from workers.jobs.transitions import move_jobs

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Ready:
    """A claimed job whose inputs are prepared, as much of it as `begin` writes down."""

    claim: Claim
    cost: Decimal
    locator: str | None
    callback_token: str | None

    @property
    def number(self) -> int:
        """The attempt's number: the last one's again if that was provably never received by this same account."""
        return self.claim.last_number if self.resend else self.claim.last_number + 1

    @property
    def resend(self) -> bool:
        """Whether the last attempt is sent again instead of making a new one."""
        return self.claim.last_state == "not_sent"

    @property
    def reference(self) -> uuid.UUID:
        """The attempt's id."""
        return client_reference(self.claim.job_id, self.number)


@dataclass(frozen=True, slots=True)
class Begun:
    """What `begin` decided: the attempts that are committed, and what held the rest back."""

    started: frozenset[uuid.UUID]
    sent_at: datetime
    blocked_by: str | None
    ask_in: float | None
    count: admission.Count


_INSERT = text("""
    INSERT INTO attempts AS a (id, job_id, number, batch_id, account, operation, state, locator, callback_token, cost,
                               passed_over, sent_at, deadline_at)
    SELECT w.id, w.job_id, w.number, w.batch_id, :account, w.operation, 'sending', w.locator, w.callback_token, w.cost,
        w.passed_over, clock_timestamp(), clock_timestamp() + :deadline * interval '1 second'
    FROM unnest(cast(:ids AS uuid[]), cast(:job_ids AS text[]), cast(:numbers AS int[]), cast(:batches AS int[]),
                cast(:operations AS text[]), cast(:locators AS text[]), cast(:tokens AS text[]),
                cast(:costs AS numeric[]), cast(:passed_over AS text[]))
        AS w(id, job_id, number, batch_id, operation, locator, callback_token, cost, passed_over)
    ORDER BY w.id
    ON CONFLICT (id) DO UPDATE SET state = 'sending', send_count = a.send_count + 1, sent_at = excluded.sent_at,
        deadline_at = excluded.deadline_at, locator = excluded.locator, callback_token = excluded.callback_token,
        cost = excluded.cost, passed_over = excluded.passed_over, reason = NULL, error = NULL, absences = 0
    WHERE a.state = 'not_sent' AND a.account = excluded.account
    RETURNING id, sent_at
""")


# Whoever pauses a batch, or pauses or reroutes a job, writes its row. So under these locks either that is seen, or the
# attempt will be `sending` when whoever does it gets the row.
_LOCK_UNPAUSED = text("""
    WITH ours AS (SELECT id, batch_id, lane FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE),
    theirs AS (
        SELECT id, paused_at, max_in_flight, running FROM batches
        WHERE id > 0 AND id IN (SELECT batch_id FROM ours) ORDER BY id FOR UPDATE
    )
    SELECT ours.id, ours.lane, ours.batch_id, theirs.max_in_flight - theirs.running AS room
    FROM ours LEFT JOIN theirs ON theirs.id = ours.batch_id WHERE theirs.paused_at IS NULL
""")


_QUEUED = frozenset({JobState.QUEUED})


def begin(session: Session, account: Account, ready: Sequence[Ready], known: admission.Count | None = None) -> Begun:
    """Write the attempts that the gate and the budgets allow; after the commit they may be sent, and only they.

    Jobs that may not be sent now are given back to the queue.
    """
    room_for = account.max_in_flight - len(ready)
    seen = admission.read(session, account.name, lock=True, known=known, room_for=room_for)
    account = account.with_overrides(seen.overrides)
    allowed = admission.allowance(seen, account, len(ready))
    chosen, blocked_by = list(ready[: allowed.number]), allowed.blocked_by
    # Spend is locked last everywhere, and must be looked at before the jobs are moved: so these are locked ahead.
    rows = session.execute(_LOCK_UNPAUSED, {"ids": [item.claim.job_id for item in chosen]}).all()
    operations = {row.id: lane_operation(row.lane, account) for row in rows}
    chosen = [item for item in chosen if operations.get(item.claim.job_id) == item.claim.operation]
    chosen = _within(chosen, {row.batch_id: row.room for row in rows if row.room is not None})
    left = budget.budgets(session, account, {item.claim.batch_id for item in chosen}, seen.now)
    affordable = left.affordable([(item.claim.batch_id, item.cost) for item in chosen])
    if not all(affordable):
        unaffordable = [item for item, ok in zip(chosen, affordable, strict=True) if not ok]
        chosen = [item for item, ok in zip(chosen, affordable, strict=True) if ok]
        left = left.after((item.claim.batch_id, item.cost) for item in chosen)
        blocked_by = _close_for_budget(session, account, left, unaffordable, seen.now) or blocked_by
    moved = {
        move.job_id
        for move in move_jobs(
            session,
            [
                JobMove(item.claim.job_id, JobState.RUNNING, expected=_QUEUED, version=item.claim.version)
                for item in sorted(chosen, key=lambda item: item.claim.job_id)
            ],
        )
    }
    chosen = [item for item in chosen if item.claim.job_id in moved]
    sent_at = {row.id: row.sent_at for row in session.execute(_INSERT, _columns(account, chosen))} if chosen else {}
    if len(sent_at) != len(chosen):
        raise RuntimeError(f"{len(chosen) - len(sent_at)} attempts of {account.name} exist already in another state")
    # Booked under the attempt's own time, under which a refusal gives it back: midnight may come in between.
    budget.book(
        session,
        [budget.Booking(account.name, item.claim.batch_id, item.cost, sent_at[item.reference]) for item in chosen],
    )
    unused = allowed.number - len(chosen)
    tokens = None if allowed.tokens is None else allowed.tokens + unused
    admission.pass_through(session, account.name, len(sent_at), tokens, seen.now)
    unclaim(session, [item.claim.job_id for item in ready if item.claim.job_id not in moved])
    first = min(sent_at.values(), default=seen.now)
    return Begun(frozenset(sent_at), first, blocked_by, allowed.ask_in, seen.count)


def _within(chosen: Sequence[Ready], rooms: Mapping[int, int]) -> list[Ready]:
    """Those that their batches have room for, by batch; their rows are locked, so nobody else takes it meanwhile."""
    left, fitting = dict(rooms), []
    for item in chosen:
        room = left.get(item.claim.batch_id)
        if room is None or room > 0:
            fitting.append(item)
            if room is not None:
                left[item.claim.batch_id] = room - 1
    return fitting


def _columns(account: Account, chosen: Sequence[Ready]) -> dict[str, Any]:
    return {
        "account": account.name,
        "deadline": account.deadline,
        "ids": [item.reference for item in chosen],
        "job_ids": [item.claim.job_id for item in chosen],
        "numbers": [item.number for item in chosen],
        "batches": [item.claim.batch_id for item in chosen],
        "operations": [item.claim.operation for item in chosen],
        "locators": [item.locator for item in chosen],
        "tokens": [item.callback_token for item in chosen],
        "costs": [item.cost for item in chosen],
        "passed_over": [item.claim.passed_over for item in chosen],
    }


def _close_for_budget(
    session: Session, account: Account, left: budget.Budgets, unaffordable: Sequence[Ready], at: datetime
) -> str | None:
    """Close what ran out of money: the account until its budgets' periods end, or the batch until its limit is raised.

    `left` is what remains when all that can be paid is paid.
    """
    cheapest = min(item.cost for item in unaffordable)
    spent_periods = left.spent_periods(cheapest)
    if spent_periods:
        limits = [(account.budget[period], period) for period in spent_periods]
        said = ", ".join(f"{limit.amount} {limit.currency} a {period}" for limit, period in limits)
        seconds = max(budget.seconds_left(period, at) for period in spent_periods)
        admission.close_for(session, account.name, "budget", seconds, f"the budget of {said} is spent")
        return "budget"
    spent = {
        item.claim.batch_id for item in unaffordable if left.batches.get(item.claim.batch_id, item.cost) < item.cost
    }
    paused = session.execute(
        text(
            "UPDATE batches SET paused_at = clock_timestamp(), paused_reason = 'budget'"
            " WHERE id = ANY(:ids) AND paused_at IS NULL RETURNING name, max_cost"
        ),
        {"ids": sorted(spent)},
    )
    for batch in paused:
        on_commit(session, log.warning, "batch_paused", batch=batch.name, reason="budget", max_cost=str(batch.max_cost))
    return None
