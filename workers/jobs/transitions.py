"""Grouped state moves: many jobs or attempts in one statement each, fenced by the state they are expected in.

Locks are taken in one order everywhere, so that groups of different pumps cannot deadlock: quote, token, account,
attempts by id, jobs by id, batches by id, spend by scope and period.
"""

from __future__ import annotations

import json
import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models import fragments
from models.batches import SINGLES
from models.bulk import Bulk
from models.states import ATTEMPT_MOVES, FINAL_JOB_STATES, JOB_MOVES, OPEN_JOB_STATES, AttemptState, JobState, Reason
from providers import PROVIDERS
from workers.jobs import counters, outbox, redone
from workers.jobs.state_changes import AttemptMove, AttemptMoved, JobMove, Moved

MAX_ERROR_CHARS = 2_000  # a provider's message for people; anything longer is a page of HTML
MAX_RAW_BYTES = 64 * 1024  # of an answer kept for later inspection

_LOCK = text("SELECT 1 FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE")

_FINISHED_ATTEMPTS = frozenset({AttemptState.DONE, AttemptState.REFUSED, AttemptState.EXPIRED})

_FINAL = [state for state in JobState if state in FINAL_JOB_STATES]

_JOB_MOVES = Bulk[JobMove](
    id=("text", lambda move: move.job_id),
    state=("text", lambda move: move.to),
    expected=("text", lambda move: ",".join(move.expected or _origins(move.to))),
    reason=("text", lambda move: move.reason),
    error=("text", lambda move: clip(move.error)),
    wait=("float8", lambda move: move.wait),
    attempt=("int", lambda move: move.attempt),
    version=("int", lambda move: move.version),
    paid_limit=("int", lambda move: move.paid_limit),
)
# An array is written value by value: with one for each column, a hundred thousand jobs take seconds to be named.
_ALIKE = """
    SELECT id, cast(:state AS text) AS state, cast(:expected AS text) AS expected, cast(:reason AS text) AS reason,
        cast(:error AS text) AS error, 0.0 AS wait, NULL::int AS attempt, NULL::int AS version,
        NULL::int AS paid_limit
    FROM unnest(cast(:ids AS text[])) AS w(id)
"""


#: What is added to the error of a job that may not be paid for again.
NO_MORE_PAID = "; no more attempts may be paid (RECAST_MAX_PAID_ATTEMPTS)"
_FREE = fragments.quoted(
    f"{name}:{reason}"
    for adapter in PROVIDERS.values()
    for name, operation in sorted(adapter.OPERATIONS.items())
    for reason in sorted(operation.free)
)
_SPENT = f"""
    w.paid_limit <= (
        SELECT count(*) FROM attempts
        WHERE attempts.job_id = w.id AND attempts.number > locked.former_attempts AND {fragments.is_paid("attempts")}
            AND NOT (attempts.state = 'done'
                AND attempts.operation || ':' || coalesce(attempts.reason, '') IN ({_FREE}))
    )
"""


def _moving(wanted: str) -> str:
    return f"""
        WITH wanted AS ({wanted}), locked AS (
            SELECT id, state, version, former_attempts FROM jobs
            WHERE id = ANY(cast(:ids AS text[])) ORDER BY id FOR UPDATE
        ), decided AS (
            SELECT w.*, CASE WHEN {_SPENT} THEN 'failed' ELSE w.state END AS to_state
            FROM wanted w JOIN locked ON locked.id = w.id
        )
        UPDATE jobs SET
            state = w.to_state, reason = w.reason, {fragments.UNCLAIMS}, input_tries = 0,
            error = w.error || CASE WHEN w.to_state <> w.state THEN '{NO_MORE_PAID}' ELSE '' END,
            not_before = CASE WHEN w.wait > 0 AND w.to_state = 'queued' THEN {fragments.seconds_from_now("w.wait")} END,
            started_at = CASE
                WHEN w.to_state = 'running' THEN coalesce(started_at, clock_timestamp()) ELSE started_at END,
            finished_at = CASE WHEN w.to_state IN ({fragments.quoted(_FINAL)}) THEN clock_timestamp() END,
            kept_attempt = CASE WHEN w.to_state <> 'succeeded' THEN kept_attempt END
        FROM decided w JOIN locked USING (id)
        WHERE jobs.id = w.id AND locked.state = ANY(string_to_array(w.expected, ','))
          AND (w.attempt IS NULL OR w.attempt > locked.former_attempts)
          AND (w.version IS NULL OR w.version = locked.version)
        RETURNING jobs.id, jobs.batch_id, locked.state AS was, jobs.state AS now, jobs.reason,
            {outbox.HEARD} AS heard, jobs.kept_attempt IS NOT NULL AS kept
    """


_MOVE_EACH = text(_moving(f"SELECT * FROM {_JOB_MOVES.table}"))
_MOVE_ALIKE = text(_moving(_ALIKE))

_ATTEMPT_MOVES = Bulk[AttemptMove](
    id=("uuid", lambda move: move.id),
    state=("text", lambda move: move.to),
    expected=("text", lambda move: ",".join(move.expected or _attempt_origins(move.to))),
    reason=("text", lambda move: move.reason),
    error=("text", lambda move: clip(move.error)),
    handle=("text", lambda move: move.handle),
    parts=("text", lambda move: json.dumps(move.parts) if move.parts else None),
    cost=("numeric", lambda move: move.cost),
    accepted=("bool", lambda move: move.accepted),
    ago=("float8", lambda move: move.ago),
    finished=("bool", lambda move: move.to in _FINISHED_ATTEMPTS),
    poll_in=("float8", lambda move: move.poll_in),
    polled=("int", lambda move: int(move.polled)),
    pending=("bool", lambda move: move.pending),
    absent=("int", lambda move: int(move.absent)),
    refetch=("int", lambda move: int(move.refetch)),
    free=("bool", lambda move: move.free),
    outputs=("text", lambda move: move.outputs),
    raw=("bytea", lambda move: move.raw[:MAX_RAW_BYTES] if move.raw else None),
    requested_at=("timestamptz", lambda move: move.requested_at),
)
_MOVE_ATTEMPTS = text(f"""
    WITH locked AS (
        SELECT id, state, cost FROM attempts WHERE id = ANY(cast(:ids AS uuid[])) ORDER BY id FOR UPDATE
    )
    UPDATE attempts SET
        state = w.state, reason = coalesce(w.reason, attempts.reason), error = coalesce(w.error, attempts.error),
        handle = coalesce(w.handle, attempts.handle), parts = coalesce(cast(w.parts AS jsonb), attempts.parts),
        cost = CASE WHEN w.free THEN 0 ELSE coalesce(w.cost, attempts.cost) END,
        accepted_at = CASE
            WHEN w.accepted THEN coalesce(accepted_at, {fragments.seconds_ago("w.ago")}) ELSE accepted_at END,
        finished_at = CASE
            WHEN w.finished AND (refetches = 0 OR finished_at IS NULL) THEN clock_timestamp() ELSE finished_at END,
        pending_at = CASE WHEN w.pending THEN coalesce(w.requested_at, clock_timestamp()) ELSE pending_at END,
        next_poll_at = CASE
            WHEN w.poll_in IS NULL THEN NULL
            WHEN callback_at > w.requested_at THEN clock_timestamp()
            ELSE {fragments.seconds_from_now("greatest(w.poll_in - w.ago, 0)")} END,
        polls = polls + w.polled, absences = absences + w.absent, refetches = refetches + w.refetch,
        outputs = coalesce(cast(w.outputs AS jsonb), attempts.outputs), raw = coalesce(w.raw, attempts.raw)
    FROM {_ATTEMPT_MOVES.table} JOIN locked USING (id)
    WHERE attempts.id = w.id AND locked.state = ANY(string_to_array(w.expected, ','))
    RETURNING attempts.id, job_id, number, batch_id, account, attempts.cost, locked.cost AS booked, sent_at,
        accepted_at, operation, locked.state AS was, attempts.state, attempts.reason, finished_at, polls, refetches
""")

# All counts, whatever moved: so it is one statement, for the database to plan and for a test to prepare.
_ADD_TO_BATCH = text(f"""
    UPDATE batches SET counted_at = NULL, {", ".join(f"{state} = {state} + :{state}" for state in JobState)}
    WHERE id = :id RETURNING {" + ".join(OPEN_JOB_STATES)}
""")


def lock_jobs(session: Session, job_ids: Iterable[str]) -> None:
    """Lock these jobs, in the one order, until the transaction ends."""
    session.execute(_LOCK, {"ids": list(job_ids)})


def move_jobs(session: Session, moves: Sequence[JobMove]) -> list[Moved]:
    """Move jobs, keep their batches' counts and note the ends for webhooks.

    Jobs in another state than expected are left as they are. Each job may occur in `moves` once.
    """
    if not moves:
        return []
    rows = session.execute(_MOVE_EACH, _JOB_MOVES.of(moves))
    return _moved(session, rows)


def move_alike(
    session: Session,
    ids: Sequence[str],
    to: JobState,
    reason: Reason | None = None,
    error: str | None = None,
    *,
    expected: Iterable[JobState],
) -> list[Moved]:
    """`move_jobs` for many jobs that all move alike, from one of the `expected` states."""
    alike = {"state": to, "expected": ",".join(expected), "reason": reason, "error": clip(error)}
    rows = session.execute(_MOVE_ALIKE, {"ids": list(ids), **alike})
    return _moved(session, rows)


def _moved(session: Session, rows: Iterable[Row[Any]]) -> list[Moved]:
    """Pass on what was moved: to webhooks, counts and metrics. A job whose redo failed has its picture, as before."""
    every = [
        (Moved(row.id, row.batch_id, JobState(row.was), JobState(row.now), row.heard, row.reason), row.kept)
        for row in rows
    ]
    restored = redone.restore(
        session, [move.job_id for move, kept in every if kept and move.now in redone.WITHOUT_A_PICTURE]
    )
    # That a job with its former picture has succeeded was said before, and that it has failed is not true.
    ended = [
        move.job_id for move, _ in every if move.heard and move.now in FINAL_JOB_STATES and move.job_id not in restored
    ]
    if ended:
        outbox.jobs_ended(session, ended)
    moved = [replace(move, now=JobState.SUCCEEDED) if move.job_id in restored else move for move, _ in every]
    count(session, moved)
    counters.jobs_ended(session, [move for move, _ in every])
    return moved


def move_attempts(session: Session, moves: Sequence[AttemptMove]) -> dict[uuid.UUID, AttemptMoved]:
    """Move attempts; those in another state than expected are left as they are and missing from the answer."""
    if not moves:
        return {}
    rows = session.execute(_MOVE_ATTEMPTS, _ATTEMPT_MOVES.of(moves))
    moved = {row.id: AttemptMoved(**row._mapping) for row in rows}
    counters.attempts_ended(session, moved.values())
    return moved


def count(session: Session, moved: Iterable[Moved]) -> None:
    """Carry jobs' moves into their batches' counts."""
    changes: dict[int, Counter[str]] = {}
    for move in moved:
        if move.batch_id != SINGLES:
            change = changes.setdefault(move.batch_id, Counter())
            change[move.was] -= 1
            change[move.now] += 1
    for batch_id in sorted(changes):
        add_to_batch(session, batch_id, changes[batch_id])


def add_to_batch(session: Session, batch_id: int, change: Counter[str]) -> None:
    """Add `change` (by job state) to one batch's counts; the change that leaves no job open is an event."""
    if not any(change.values()):
        return
    numbers = {state.value: change[state] for state in JobState}
    still_open = session.execute(_ADD_TO_BATCH, {"id": batch_id, **numbers}).scalar_one()
    if not still_open and sum(change[state] for state in OPEN_JOB_STATES) < 0:
        outbox.batch_done(session, batch_id)


def clip(message: str | None) -> str | None:
    """A message short enough to store and without the one character that PostgreSQL's text cannot hold."""
    return message.replace("\x00", "\N{REPLACEMENT CHARACTER}")[:MAX_ERROR_CHARS] if message else None


def _origins(to: JobState) -> list[str]:
    return sorted(state.value for state, nexts in JOB_MOVES.items() if to in nexts)


def _attempt_origins(to: AttemptState) -> list[str]:
    # Learning more about an attempt without moving it (a poll that says "not yet") is not a transition.
    return [state.value for state, nexts in ATTEMPT_MOVES.items() if to in nexts or state is to]
