"""The decision how a job continues that a restore held: after every search, or after a person's decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.fragments import last_attempt, seconds_from_now
from models.identity import client_reference
from models.states import ANNOUNCED_JOB_STATES, AttemptState, JobState, Reason
from workers.accounts import budget
from workers.accounts.overrides import in_force
from workers.config.accounts import Account
from workers.engine.record import waiting_for
from workers.jobs.filters import EVERY, Filter, Filtered
from workers.jobs.state_changes import JobMove, Moved
from workers.jobs.transitions import lock_jobs, move_jobs
from workers.operations.resolve import Held, Verdict

_READY = text("""
    SELECT j.id, j.batch_id, j.options, j.finished_at AS held_at,
        jsonb_agg(jsonb_build_object('number', s.number, 'account', s.account, 'operation', s.operation,
            'handle', s.handle) ORDER BY s.number) FILTER (WHERE s.handle IS NOT NULL) AS found
    FROM jobs j LEFT JOIN searches s ON s.job_id = j.id
    WHERE j.id = ANY(:ids) AND j.state = 'held' AND j.reason = 'restored'
    GROUP BY j.id HAVING count(*) FILTER (WHERE s.next_at IS NOT NULL) = 0
        AND (count(s.handle) > 0 OR count(s.number) = 0)
""")
_WRITE_DOWN = text(f"""
    INSERT INTO attempts AS a (id, job_id, number, batch_id, account, operation, state, reason, error, handle, cost,
                               sent_at, accepted_at, finished_at, next_poll_at, deadline_at)
    SELECT :id, :job_id, :number, :batch_id, :account, :operation, cast(:state AS text), 'restored', :note, :handle,
        :cost, now, now, CASE WHEN cast(:state AS text) = 'done' THEN now END,
        CASE WHEN cast(:state AS text) = 'running' THEN now END, {seconds_from_now(":deadline")}
    FROM clock_timestamp() AS now
    ON CONFLICT (id) DO UPDATE SET state = excluded.state, reason = excluded.reason, error = excluded.error,
        handle = excluded.handle, account = excluded.account, operation = excluded.operation, cost = excluded.cost,
        sent_at = excluded.sent_at, accepted_at = excluded.accepted_at, finished_at = excluded.finished_at,
        next_poll_at = excluded.next_poll_at, deadline_at = excluded.deadline_at
    WHERE a.state = 'not_sent'
    RETURNING sent_at
""")
_GIVE_BACK = text("""
    UPDATE attempts SET state = 'not_sent', error = 'the provider never received it'
    WHERE job_id = :id AND state = 'expired' AND reason = 'restored' AND accepted_at IS NULL
    RETURNING batch_id, account, cost, sent_at
""")
_CLOSE_EARLIER = text("""
    UPDATE attempts SET state = 'done', reason = 'restored', next_poll_at = NULL, finished_at = clock_timestamp(),
        error = 'another attempt followed it after the backup'
    WHERE job_id = :id AND number < :number AND state = 'running'
""")
_LAST = text(last_attempt(":id", "state, finished_at >= cast(:held_at AS timestamptz) AS since"))
_FORGET = text("DELETE FROM searches WHERE job_id = ANY(:ids)")

_HELD = frozenset({JobState.HELD})


def reconcile_jobs(session: Session, accounts: Mapping[str, Account], job_ids: Sequence[str]) -> list[Moved]:
    """Continue the jobs whose searches are all answered; the caller holds their `lock`."""
    moves = []
    for row in session.execute(_READY, {"ids": list(job_ids)}).all():
        # What the restore set aside is settled first; of it, what was found is booked again.
        _give_back(session, row.id)
        moves.append(_found(session, accounts, row) if row.found else _released(session, row))
    session.execute(_FORGET, {"ids": [move.job_id for move in moves]})
    return move_jobs(session, moves)


def _found(session: Session, accounts: Mapping[str, Account], row: Row[Any]) -> JobMove:
    """Write down what was found: the highest number is polled on, those below it had ended before it was sent."""
    *earlier, last = row.found
    session.execute(_CLOSE_EARLIER, {"id": row.id, "number": last["number"]})
    for found in earlier:
        _write_down(session, accounts, row, found, AttemptState.DONE, "found after a restore; another attempt followed")
    _write_down(session, accounts, row, last, AttemptState.RUNNING, "found after a restore")
    return JobMove(row.id, JobState.RUNNING, expected=_HELD)


def _write_down(
    session: Session,
    accounts: Mapping[str, Account],
    row: Row[Any],
    found: Mapping[str, Any],
    state: AttemptState,
    note: str,
) -> None:
    account = in_force(session, accounts)[found["account"]]
    operation = account.adapter.OPERATIONS[found["operation"]]
    cost = account.cost(operation, row.options)
    written = session.execute(
        _WRITE_DOWN,
        {
            "id": client_reference(row.id, found["number"]), "job_id": row.id, "number": found["number"],
            "batch_id": row.batch_id, "account": account.name, "operation": operation.name, "state": state,
            "handle": found["handle"], "cost": cost, "note": note, "deadline": account.deadline,
        },
    ).first()  # fmt: skip
    if written is not None:
        budget.book(session, [budget.Booking(account.name, row.batch_id, cost, written.sent_at)])


def _released(session: Session, row: Row[Any]) -> JobMove:
    """How a job continues that was not sent after the backup: in the state of the backup, or of a later poll."""
    last = session.execute(_LAST, {"id": row.id, "held_at": row.held_at}).first()
    if last is not None and last.state == AttemptState.RUNNING:
        return JobMove(row.id, JobState.RUNNING, expected=_HELD)
    if last is not None and last.state == AttemptState.EXPIRED and last.since:
        return JobMove(row.id, JobState.FAILED, Reason.TIMED_OUT, "no result after the restore", _HELD)
    return JobMove(row.id, JobState.QUEUED, expected=_HELD)


def _give_back(session: Session, job_id: str) -> None:
    gone = session.execute(_GIVE_BACK, {"id": job_id}).all()
    budget.book(
        session, [budget.Booking(item.account, item.batch_id, item.cost, item.sent_at) for item in gone], sign=-1
    )


# --- What a person says ------------------------------------------------------------------------------------------

_DROP = text("DELETE FROM searches WHERE job_id = ANY(:ids) AND account = :account AND next_at IS NULL")
_NUMBERS = text("SELECT number FROM searches WHERE job_id = :id")
_TOLD = text("UPDATE searches SET handle = :handle WHERE job_id = :id AND number = :number AND account = :account")
_WAITING = Filtered(
    lambda which: (
        f"""
        SELECT s.job_id, s.number, b.name AS batch, j.key, s.account, s.operation, j.options, s.created_at AS sent_at,
            s.note
        FROM {which.jobs} JOIN searches s ON s.job_id = j.id
        WHERE s.next_at IS NULL AND s.handle IS NULL AND j.state = 'held' AND j.reason = 'restored' AND {which.where}
        ORDER BY s.account, j.id, s.number
    """
    )
)


def waiting(session: Session, accounts: Mapping[str, Account], which: Filter = EVERY) -> list[Held]:
    """Submissions that may have been made after the backup, which only a person can decide.

    The account and the operation that `which` names are those of the submission that may have been made.
    """
    jobs = replace(which, account=None, operation=None)
    found, accounts = [], in_force(session, accounts)
    for row in _WAITING.execute(session, jobs):
        if which.account not in (None, row.account) or which.operation not in (None, row.operation):
            continue
        at = accounts.get(row.account)
        cost = at.cost(at.adapter.OPERATIONS[row.operation], row.options) if at and row.operation else Decimal(0)
        found.append(
            Held(
                client_reference(row.job_id, row.number), row.job_id, row.batch, row.key, row.account, row.operation,
                cost, row.sent_at, Reason.RESTORED.value, row.note,
            )
        )  # fmt: skip
    return found


def record_decision(
    session: Session,
    accounts: Mapping[str, Account],
    account: str,
    jobs: Sequence[Held],
    verdict: Verdict,
    handle: str | None,
) -> tuple[str, ...]:
    """Apply a person's word to what `waiting` found at one account; the ids of jobs whose end is to be announced.

    Raises:
        ValueError: a handle is missing, or meant for several jobs, or the account is not in the accounts file.
    """
    if verdict is Verdict.ACCEPTED and (not handle or len(jobs) != 1 or account not in accounts):
        raise ValueError(
            "an accepted job needs the provider's handle and an account of the accounts file; "
            "resolve each such job by itself"
        )
    ids = sorted({job.job_id for job in jobs})
    lock_jobs(session, ids)
    if verdict is Verdict.GIVE_UP:
        note = "given up by a person; it may have been paid for after the backup"
        moves = [JobMove(job_id, JobState.FAILED, Reason.RESTORED, note, _HELD) for job_id in ids]
        session.execute(_FORGET, {"ids": ids})
        return waiting_for(session, move_jobs(session, moves))
    if verdict is Verdict.ACCEPTED:
        number = _number(session, jobs[0])
        session.execute(_TOLD, {"id": ids[0], "number": number, "account": account, "handle": handle})
    else:
        session.execute(_DROP, {"ids": ids, "account": account})
    ended = [move for move in reconcile_jobs(session, accounts, ids) if move.now in ANNOUNCED_JOB_STATES]
    return waiting_for(session, ended)


def _number(session: Session, job: Held) -> int:
    rows = session.execute(_NUMBERS, {"id": job.job_id})
    return next(int(row.number) for row in rows if client_reference(job.job_id, row.number) == job.id)
