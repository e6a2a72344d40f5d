"""Claims of queued jobs for an account, fairly over batches.

A claim only keeps others from preparing the same job. What may be paid is decided in `begin`, under the lock of the
account's row, in the transaction that inserts the attempts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.fragments import (
    CLAIMS,
    UNCLAIMS,
    carefully,
    claimable,
    columns,
    last_attempt,
    seconds_from_now,
    until,
)
from models.identity import client_reference
from models.jobs import INPUTS, ROLES
from models.states import AttemptState
from workers.config.accounts import Account
from workers.engine.floors import BEGINNING, Floor, Floors, Queue
from workers.engine.leases import LEASE_SECONDS
from workers.jobs.lanes import lane_operation
from workers.jobs.releases import refusal
from workers.jobs.request import CONSENT
from workers.jobs.transitions import clip

FULL_RETRY_SECONDS = 2.0  # a batch at its in-flight limit is checked again this often


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
    last_state: AttemptState | None
    #: Of the job, as its inputs were read.
    version: int
    #: Why no account that is used before this one takes it; None where this one comes first.
    passed_over: str | None = None
    #: How often its inputs could not be read or uploaded.
    input_tries: int = 0
    #: How often in a row its claim ran out.
    lapses: int = 0
    #: The release of the person shown, and why it does not allow the job, if it does not.
    consent: str | None = None
    unreleased: str | None = None
    #: The next attempt's id.
    reference: uuid.UUID = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "reference", client_reference(self.job_id, self.number))

    @property
    def resend(self) -> bool:
        """Whether the last attempt is sent again: it was provably never received, by this same account."""
        return self.last_state is AttemptState.NOT_SENT

    @property
    def number(self) -> int:
        """The next attempt's number: the last one's again if that is sent again."""
        return self.last_number if self.resend else self.last_number + 1


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
_QUEUES = Bulk[Queue](lane=("text", lambda queue: queue[0]), batch_id=("int", lambda queue: queue[1]))
_KNOWN_HEADS = text(f"""
    SELECT w.lane, w.batch_id, batches.max_in_flight - batches.running AS room
    FROM {_QUEUES.table} JOIN batches ON batches.id = w.batch_id
    WHERE batches.paused_at IS NULL ORDER BY w.lane, w.batch_id
""")


@dataclass(frozen=True, slots=True)
class _Head:
    """A (lane, batch) pair that has queued jobs."""

    lane: str
    batch_id: int
    #: How many more jobs of the batch may be in flight; None where it has no limit of its own.
    room: int | None
    #: Where to look for them from.
    floor: Floor = BEGINNING

    @property
    def queue(self) -> Queue:
        """What floors are kept for."""
        return self.lane, self.batch_id


_PAIRS = Bulk[_Head](
    lane=("text", lambda head: head.lane), batch_id=("int", lambda head: head.batch_id),
    room=("int", lambda head: head.room), priority=("int", lambda head: head.floor.priority),
    seq=("bigint", lambda head: head.floor.seq),
)  # fmt: skip


def _from_floor(condition: str, order: str) -> str:
    return f"""
        (SELECT id, priority, seq FROM jobs j
        WHERE {claimable("j")} AND j.lane = w.lane AND j.batch_id = w.batch_id AND {condition}
        ORDER BY {order} LIMIT least(:number, w.room))
    """


# Rows are locked by their ids alone, and looked at again then: of a table that was just filled, and has no statistics
# yet, the planner would read all that is queued for each of them.
_CLAIM = text(f"""
    WITH heads AS (
        SELECT c.id, c.priority, c.seq, w.batch_id,
            row_number() OVER (PARTITION BY w.batch_id ORDER BY c.priority DESC, c.seq) AS turn
        FROM {_PAIRS.table} CROSS JOIN LATERAL (
            {_from_floor("j.priority = w.priority AND j.seq >= w.seq", "seq")} UNION ALL
            {_from_floor("j.priority < w.priority", "priority DESC, seq")}
            ORDER BY priority DESC, seq LIMIT least(:number, w.room)
        ) c
    ), chosen AS (
        SELECT id FROM heads ORDER BY (batch_id <> 0), priority DESC, turn, seq LIMIT :number
    ), locked AS (
        SELECT j.* FROM jobs j WHERE j.id = ANY(ARRAY(SELECT id FROM chosen)) ORDER BY j.id FOR UPDATE SKIP LOCKED
    ), free AS (
        SELECT id, claimed_until IS NOT NULL OR lapses > 0 AS lapsed FROM locked
        WHERE {claimable("locked")} AND lane = ANY(cast(:lanes AS text[]))
    ), together AS (
        {carefully("free")}
    ), claimed AS (
        UPDATE jobs SET {CLAIMS}, claimed_until = {seconds_from_now(str(LEASE_SECONDS))}
        FROM together WHERE jobs.id = together.id
        RETURNING jobs.id, seq, batch_id, priority, lane, kind, {columns(INPUTS)}, version, input_tries, lapses,
            extra ->> '{CONSENT}' AS consent, coalesce(expires_at < clock_timestamp(), false) AS expired
    )
    SELECT claimed.*, coalesce(last.number, 0) AS last_number, last.account AS last_account, last.state AS last_state,
        {refusal("r", "claimed.kind", "(SELECT label FROM batches WHERE id = claimed.batch_id)")} AS unreleased
    FROM claimed LEFT JOIN LATERAL {last_attempt("claimed.id", "number, account, state")} last ON true
        LEFT JOIN releases r ON r.reference = claimed.consent
    ORDER BY (batch_id <> 0), priority DESC, seq
""")
_LEAST_WAIT = text(f"""
    SELECT min(least_wait) FROM {_PAIRS.table}, LATERAL (
        SELECT min(coalesce(greatest(0, {until("greatest(claimed_until, not_before)")}), 0)) AS least_wait
        FROM (
            SELECT claimed_until, not_before FROM jobs j
            WHERE j.state = 'queued' AND j.lane = w.lane AND j.batch_id = w.batch_id
            ORDER BY priority DESC, seq LIMIT 1000
        ) first
    ) c
""")
_UNCLAIM = text(f"""
    UPDATE jobs SET {UNCLAIMS} WHERE id IN (
        SELECT id FROM jobs WHERE id = ANY(:ids) AND state = 'queued' ORDER BY id FOR UPDATE)
""")


@dataclass(frozen=True, slots=True)
class Wait:
    """A claimed job that is not sent now: in how many seconds it may be claimed again, why, and whether it counts."""

    job_id: str
    seconds: float
    why: str | None
    #: Whether an input could not be read or uploaded.
    tried: bool = False


_WAITS = Bulk[Wait](
    id=("text", lambda wait: wait.job_id), second=("float8", lambda wait: wait.seconds),
    why=("text", lambda wait: clip(wait.why)), tried=("int", lambda wait: int(wait.tried)),
)  # fmt: skip
_POSTPONE = text(f"""
    WITH locked AS (
        SELECT j.id, w.second, w.why, w.tried FROM jobs j JOIN {_WAITS.table} ON w.id = j.id
        WHERE j.state = 'queued' ORDER BY j.id FOR UPDATE OF j
    )
    UPDATE jobs SET {UNCLAIMS}, error = locked.why, not_before = {seconds_from_now("locked.second")},
        input_tries = least(jobs.input_tries + locked.tried, 1000)
    FROM locked WHERE jobs.id = locked.id
""")
_AHEAD = text("""
    SELECT name, coalesce(closed_reason, 'outage') || coalesce(': ' || closed_note, '') AS why,
        failures = 0 AND (closed_until IS NULL OR closed_until <= clock_timestamp()) AS open
    FROM accounts WHERE name = ANY(:names) ORDER BY name
""")


@dataclass(frozen=True, slots=True)
class _Heads:
    """What an account may claim from now."""

    pairs: list[_Head]
    #: Whether others were left out because their batches have as many jobs in flight as they may.
    full: bool
    #: By lane: why the accounts that are used first do not take it.
    passed_over: Mapping[str, str]


def _heads(session: Session, account: Account, ahead: Sequence[Account], floors: Floors | None = None) -> _Heads:
    rows = session.execute(_HEADS) if floors is None else session.execute(_KNOWN_HEADS, _QUEUES.of(floors.queues))
    pairs = [_Head(**row._mapping) for row in rows if lane_operation(row.lane, account) is not None]
    full = any(pair.room is not None and pair.room <= 0 for pair in pairs)
    pairs = [pair for pair in pairs if pair.room is None or pair.room > 0]
    if floors is not None:
        pairs = [replace(pair, floor=floors.floor(pair.queue)) for pair in pairs]
    passed_over: dict[str, str] = {}
    if pairs and ahead:
        rows_ahead = session.execute(_AHEAD, {"names": [other.name for other in ahead]})
        known = {row.name: row for row in rows_ahead}
        for lane in {pair.lane for pair in pairs}:
            first = [known[other.name] for other in ahead if other.name in known and lane_operation(lane, other)]
            if any(found.open for found in first):
                pairs = [pair for pair in pairs if pair.lane != lane]
            elif first:
                passed_over[lane] = "; ".join(f"{found.name} is stopped ({found.why})" for found in first)
    return _Heads(pairs, full, passed_over)


def claim(
    session: Session, account: Account, number: int, ahead: Sequence[Account] = (), floors: Floors | None = None
) -> list[Claim]:
    """Claim up to `number` jobs that `account` can do: single jobs first, then batches in turns, by priority.

    Jobs that one of the accounts `ahead` could do are left to those while one of them is open.

    Args:
        session: a transaction.
        account: who claims.
        number: the most.
        ahead: the accounts that are used before it.
        floors: where its queues began when it last claimed; None looks at all from the beginning.
    """
    floors = floors if floors is not None else Floors()
    if not floors.is_due(time.monotonic()):
        claimed = _claim(session, account, number, _heads(session, account, ahead, floors), floors)
        if claimed:
            return claimed
    began = time.monotonic()
    heads = _heads(session, account, ahead)
    floors.looked([pair.queue for pair in heads.pairs])
    claimed = _claim(session, account, number, heads, floors)
    floors.took(began, time.monotonic())
    return claimed


def _claim(session: Session, account: Account, number: int, heads: _Heads, floors: Floors) -> list[Claim]:
    if not heads.pairs:
        return []
    rows = session.execute(_CLAIM, {**_PAIRS.of(heads.pairs), "number": number}).all()
    floors.claimed(((row.lane, row.batch_id), Floor(row.priority, row.seq)) for row in rows)
    return [
        Claim(
            job_id=row.id,
            batch_id=row.batch_id,
            operation=lane_operation(row.lane, account) or "",
            pictures={role: uri for role in ROLES if (uri := getattr(row, role))},
            prompt=row.prompt,
            options=row.options,
            expired=row.expired,
            last_number=row.last_number,
            last_account=row.last_account,
            last_state=AttemptState(row.last_state) if row.last_account == account.name else None,
            version=row.version,
            input_tries=row.input_tries,
            lapses=row.lapses,
            passed_over=heads.passed_over.get(row.lane),
            consent=row.consent,
            unreleased=row.unreleased,
        )
        for row in rows
    ]


def next_claim_in(session: Session, account: Account, ahead: Sequence[Account] = ()) -> float | None:
    """Seconds until a job of `account` can be claimed (0: now), or None when none is queued that is left to it."""
    heads = _heads(session, account, ahead)
    if not heads.pairs:
        # Its jobs may end at other accounts, whose pumps do not know of this one's.
        return FULL_RETRY_SECONDS if heads.full else None
    seconds = session.execute(_LEAST_WAIT, _PAIRS.of(heads.pairs)).scalar_one_or_none()
    return float(seconds) if seconds is not None else 0.0


def unclaim(session: Session, job_ids: Sequence[str]) -> None:
    """Let others claim these jobs at once."""
    if job_ids:
        session.execute(_UNCLAIM, {"ids": sorted(job_ids)})


def postpone(session: Session, waits: Sequence[Wait]) -> None:
    """Let these claimed jobs wait before they are claimed again."""
    if waits:
        session.execute(_POSTPONE, _WAITS.of(waits))
