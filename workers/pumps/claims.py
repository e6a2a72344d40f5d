"""Claiming queued jobs for an account, fairly over batches; and turning prepared jobs into attempts, exactly.

A claim only keeps others from preparing the same job. What may be paid is decided in `begin`, under the lock of the
account's row, in the transaction that inserts the attempts.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.jobs import client_reference
from models.states import JobState
from workers.pumps.leases import LEASE_SECONDS
from workers.pumps.moves import JobMove, move_jobs
from workers.routing import lane_operation
from workers.spending import gate, money
from workers.spending.accounts import Account

FULL_RETRY_SECONDS = 2.0  # a batch with all the jobs in flight that it may have is looked at again this often


@dataclass(frozen=True, slots=True)
class Claim:
    """A queued job that this pump may prepare."""

    job_id: str
    batch_id: int
    operation: str
    pictures: Mapping[str, str]
    prompt: str | None
    options: Mapping[str, Any]
    expired: bool
    #: The latest attempt: its number, account and state.
    last_number: int
    last_account: str | None
    last_state: str | None
    #: Of the job, as its inputs were read.
    version: int
    #: Why no account that is used before this one takes it; None where this one comes first.
    passed_over: str | None = None


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
    count: gate.Count


_HEADS = text("""
    WITH RECURSIVE heads AS (
        (SELECT lane, batch_id FROM jobs WHERE state = 'queued' ORDER BY lane, batch_id LIMIT 1)
        UNION ALL
        SELECT next.lane, next.batch_id FROM heads, LATERAL (
            SELECT lane, batch_id FROM jobs
            WHERE state = 'queued' AND (lane, batch_id) > (heads.lane, heads.batch_id)
            ORDER BY lane, batch_id LIMIT 1
        ) AS next
    )
    SELECT heads.lane, heads.batch_id, batches.max_in_flight - batches.running AS room
    FROM heads JOIN batches ON batches.id = heads.batch_id
    WHERE batches.paused_at IS NULL
""")

_FREE = """
    j.state = 'queued' AND (j.claimed_until IS NULL OR j.claimed_until < clock_timestamp())
    AND (j.not_before IS NULL OR j.not_before <= clock_timestamp())
"""

_CLAIM = text(f"""
    WITH wanted AS (
        SELECT * FROM unnest(cast(:lanes AS text[]), cast(:batches AS int[]), cast(:rooms AS int[]))
            AS w(lane, batch_id, room)
    ), heads AS (
        SELECT c.id, c.priority, c.seq, w.batch_id,
            row_number() OVER (PARTITION BY w.batch_id ORDER BY c.priority DESC, c.seq) AS turn
        FROM wanted w CROSS JOIN LATERAL (
            SELECT id, priority, seq FROM jobs j
            WHERE {_FREE} AND j.lane = w.lane AND j.batch_id = w.batch_id
            ORDER BY priority DESC, seq LIMIT least(:number, w.room)
        ) c
    ), chosen AS (
        SELECT id FROM heads ORDER BY (batch_id <> 0), priority DESC, turn, seq LIMIT :number
    ), locked AS (
        SELECT j.id FROM jobs j JOIN chosen USING (id)
        WHERE {_FREE} AND j.lane = ANY(cast(:lanes AS text[])) ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
    ), claimed AS (
        UPDATE jobs SET claimed_until = clock_timestamp() + {LEASE_SECONDS} * interval '1 second'
        FROM locked WHERE jobs.id = locked.id
        RETURNING jobs.id, seq, batch_id, priority, lane, source, target, image, prompt, options, version,
            coalesce(expires_at < clock_timestamp(), false) AS expired
    )
    SELECT claimed.*, coalesce(last.number, 0) AS last_number, last.account AS last_account, last.state AS last_state
    FROM claimed LEFT JOIN LATERAL (
        SELECT number, account, state FROM attempts WHERE job_id = claimed.id ORDER BY number DESC LIMIT 1
    ) last ON true
    ORDER BY (batch_id <> 0), priority DESC, seq
""")  # noqa: S608 - the only thing put in is our own text above


@dataclass(frozen=True, slots=True)
class _Heads:
    """The (lane, batch) pairs that an account may claim from now."""

    lanes: list[str]
    batches: list[int]
    #: How many more jobs of the batch may be in flight; None where it has no limit of its own.
    rooms: list[int | None]
    #: Whether others were left out because their batches have as many jobs in flight as they may.
    full: bool
    #: By lane: why the accounts that are used first do not take it.
    passed_over: Mapping[str, str]


_GATES = text("""
    SELECT name, coalesce(closed_reason, 'outage') || coalesce(': ' || closed_note, '') AS why,
        failures = 0 AND (closed_until IS NULL OR closed_until <= clock_timestamp()) AS open
    FROM accounts WHERE name = ANY(:names) ORDER BY name
""")


def _heads(session: Session, account: Account, ahead: Sequence[Account]) -> _Heads:
    pairs = [pair for pair in session.execute(_HEADS) if lane_operation(pair.lane, account) is not None]
    full = any(pair.room is not None and pair.room <= 0 for pair in pairs)
    pairs = [pair for pair in pairs if pair.room is None or pair.room > 0]
    passed_over: dict[str, str] = {}
    if pairs and ahead:
        gates = {row.name: row for row in session.execute(_GATES, {"names": [other.name for other in ahead]})}
        for lane in {pair.lane for pair in pairs}:
            first = [gates[other.name] for other in ahead if other.name in gates and lane_operation(lane, other)]
            if any(found.open for found in first):
                pairs = [pair for pair in pairs if pair.lane != lane]
            elif first:
                passed_over[lane] = "; ".join(f"{found.name} is closed ({found.why})" for found in first)
    return _Heads(
        [pair.lane for pair in pairs],
        [pair.batch_id for pair in pairs],
        [pair.room for pair in pairs],
        full,
        passed_over,
    )


def claim(session: Session, account: Account, number: int, ahead: Sequence[Account] = ()) -> list[Claim]:
    """Claim up to `number` jobs that `account` can do: single jobs first, then batches in turns, by priority.

    Jobs that one of the accounts `ahead` could do are left to those while one of them is open.
    """
    heads = _heads(session, account, ahead)
    if not heads.lanes:
        return []
    rows = session.execute(
        _CLAIM, {"lanes": heads.lanes, "batches": heads.batches, "rooms": heads.rooms, "number": number}
    )
    return [
        Claim(
            job_id=row.id,
            batch_id=row.batch_id,
            operation=lane_operation(row.lane, account) or "",
            pictures={role: uri for role in ("source", "target", "image") if (uri := getattr(row, role))},
            prompt=row.prompt,
            options=row.options,
            expired=row.expired,
            last_number=row.last_number,
            last_account=row.last_account,
            last_state=row.last_state if row.last_account == account.name else None,
            version=row.version,
            passed_over=heads.passed_over.get(row.lane),
        )
        for row in rows
    ]


def next_claim_in(session: Session, account: Account, ahead: Sequence[Account] = ()) -> float | None:
    """Seconds until a job of `account` can be claimed (0: now), or None when none is queued that is left to it."""
    heads = _heads(session, account, ahead)
    if not heads.lanes:
        # Its jobs may end at other accounts, whose pumps do not know of this one's.
        return FULL_RETRY_SECONDS if heads.full else None
    seconds = session.execute(
        text("""
            SELECT min(least_wait) FROM unnest(cast(:lanes AS text[]), cast(:batches AS int[])) AS w(lane, batch_id),
            LATERAL (
                SELECT min(coalesce(greatest(0, extract(epoch FROM greatest(claimed_until, not_before)
                                                        - clock_timestamp())), 0)) AS least_wait
                FROM (
                    SELECT claimed_until, not_before FROM jobs j
                    WHERE j.state = 'queued' AND j.lane = w.lane AND j.batch_id = w.batch_id
                    ORDER BY priority DESC, seq LIMIT 1000
                ) first
            ) c
        """),
        {"lanes": heads.lanes, "batches": heads.batches},
    ).scalar_one_or_none()
    return float(seconds) if seconds is not None else 0.0


def unclaim(session: Session, job_ids: Sequence[str]) -> None:
    """Let others claim these jobs at once."""
    if job_ids:
        session.execute(
            text(
                "UPDATE jobs SET claimed_until = NULL WHERE id IN"
                " (SELECT id FROM jobs WHERE id = ANY(:ids) AND state = 'queued' ORDER BY id FOR UPDATE)"
            ),
            {"ids": sorted(job_ids)},
        )


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


def begin(session: Session, account: Account, ready: Sequence[Ready], known: gate.Count | None = None) -> Begun:
    """Write the attempts that the gate and the budgets allow; after the commit they may be sent, and only they.

    Jobs that may not be sent now are given back to the queue.
    """
    room_for = account.max_in_flight - len(ready)
    seen = gate.read(session, account.name, lock=True, known=known, room_for=room_for)
    account = account.with_overrides(seen.overrides)
    allowed = gate.allowance(seen, account, len(ready))
    chosen, blocked_by = list(ready[: allowed.number]), allowed.blocked_by
    # Spend is locked last everywhere, and must be looked at before the jobs are moved: so these are locked ahead.
    rows = session.execute(_LOCK_UNPAUSED, {"ids": [item.claim.job_id for item in chosen]}).all()
    operations = {row.id: lane_operation(row.lane, account) for row in rows}
    chosen = [item for item in chosen if operations.get(item.claim.job_id) == item.claim.operation]
    chosen = _within(chosen, {row.batch_id: row.room for row in rows if row.room is not None})
    left = money.budgets(session, account, {item.claim.batch_id for item in chosen}, seen.now)
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
    money.book(
        session,
        [money.Booking(account.name, item.claim.batch_id, item.cost, sent_at[item.reference]) for item in chosen],
    )
    unused = allowed.number - len(chosen)
    tokens = None if allowed.tokens is None else allowed.tokens + unused
    gate.pass_through(session, account.name, len(sent_at), tokens, seen.now)
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
    session: Session, account: Account, left: money.Budgets, unaffordable: Sequence[Ready], at: datetime
) -> str | None:
    """Close what ran out of money: the account until its budgets' periods end, or the batch until its limit is raised.

    `left` is what remains when all that can be paid is paid.
    """
    cheapest = min(item.cost for item in unaffordable)
    spent_periods = left.spent_periods(cheapest)
    if spent_periods:
        limits = [(account.budget[period], period) for period in spent_periods]
        said = ", ".join(f"{limit.amount} {limit.currency} a {period}" for limit, period in limits)
        seconds = max(money.seconds_left(period, at) for period in spent_periods)
        gate.close_for(session, account.name, "budget", seconds, f"the budget of {said} is spent")
        return "budget"
    spent = {
        item.claim.batch_id for item in unaffordable if left.batches.get(item.claim.batch_id, item.cost) < item.cost
    }
    session.execute(
        text(
            "UPDATE batches SET paused_at = clock_timestamp(), paused_reason = 'budget'"
            " WHERE id = ANY(:ids) AND paused_at IS NULL"
        ),
        {"ids": sorted(spent)},
    )
    return None


_POSTPONE = text("""
    WITH locked AS (
        SELECT j.id, w.seconds, w.why
        FROM jobs j JOIN unnest(cast(:ids AS text[]), cast(:seconds AS float8[]), cast(:reasons AS text[]))
            AS w(id, seconds, why) ON w.id = j.id
        WHERE j.state = 'queued' ORDER BY j.id FOR UPDATE OF j
    )
    UPDATE jobs SET claimed_until = NULL, error = locked.why,
        not_before = clock_timestamp() + locked.seconds * interval '1 second'
    FROM locked WHERE jobs.id = locked.id
""")


def postpone(session: Session, waits: Sequence[tuple[str, float, str | None]]) -> None:
    """Let these claimed jobs (id, seconds, why) wait before they are claimed again."""
    if waits:
        ids, seconds, reasons = zip(*waits, strict=True)
        session.execute(_POSTPONE, {"ids": list(ids), "seconds": list(seconds), "reasons": list(reasons)})
