"""Groups of outcomes, written in one transaction: admission, attempts, jobs, batches, money, in the order of locks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.states import ANNOUNCED_JOB_STATES, OPEN_ATTEMPT_STATES, AttemptState, JobState
from workers.accounts import admission, budget
from workers.commit_log import on_commit
from workers.engine import saving, streaks
from workers.engine.effects import Effects, Trouble
from workers.jobs.state_changes import AttemptMove, AttemptMoved, JobMove, Moved
from workers.jobs.transitions import move_attempts, move_jobs

_WAITED_FOR = text("""
    SELECT DISTINCT job_id FROM announcements WHERE job_id = ANY(:ids) AND announced_at IS NULL
""")

# Only the money that was booked beyond a bill comes back to them; if it is not enough, `begin` pauses them again.
_RESUME = text("""
    UPDATE batches SET paused_at = NULL, paused_reason = NULL WHERE id IN (
        SELECT id FROM batches WHERE id = ANY(:ids) AND paused_reason = 'budget' ORDER BY id FOR UPDATE
    )
""")
_FORGET = text("DELETE FROM uploads WHERE account = :account AND handle = ANY(:handles)")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Recorded:
    """What must happen after a group is written: pumps to wake, jobs to announce."""

    saving: bool
    requeued: bool
    freed: bool
    #: Seconds until the first poll that the group made due, if any.
    poll_in: float | None
    announce: tuple[str, ...]
    ended: tuple[Moved, ...]


def record(
    session: Session, account: str | None, effects: Sequence[Effects], *, opened: bool = False, key: str | None = None
) -> Recorded:
    """Write what outcomes change; an attempt in another state than expected keeps it, and so does its job.

    Args:
        session: a transaction.
        account: whose admission is settled; None where the outcomes do not concern one.
        effects: of the outcomes.
        opened: a submission succeeded while the account was half open.
        key: the mark of the account's credentials, where submissions were answered.
    """
    if account is not None:
        effects = streaks.settled(session, account, effects, key)
        _settle_account(session, account, effects, opened=opened)
    moved = move_attempts(session, [effect.attempt for effect in effects if effect.attempt])
    _keep(session, effects)
    valid = [effect for effect in effects if effect.attempt is None or effect.attempt.id in moved]
    jobs = move_jobs(session, [_job_move(effect.job, effect.attempt, moved) for effect in valid if effect.job])
    for held in (job for job in jobs if job.now is JobState.HELD):
        on_commit(session, log.warning, "job_held", job=held.job_id, account=account, reason=held.reason)
    cheaper = {attempt.batch_id for attempt in moved.values() if attempt.cost < attempt.booked}
    if cheaper:
        session.execute(_RESUME, {"ids": sorted(cheaper)})
    changed = [(moved[effect.attempt.id], effect.release) for effect in valid if effect.attempt]
    budget.book(
        session,
        [
            budget.Booking(
                attempt.account, attempt.batch_id, -attempt.booked if released else attempt.cost - attempt.booked,
                attempt.sent_at,
            )
            for attempt, released in changed
        ],
    )  # fmt: skip
    return recorded(session, [effect.attempt for effect in valid if effect.attempt], jobs)


def _settle_account(session: Session, account: str, effects: Sequence[Effects], *, opened: bool) -> None:
    settle_admission(session, account, [effect.trouble for effect in effects if effect.trouble], opened=opened)
    hold_polls(session, account, [effect.hold for effect in effects])
    moves = [effect.attempt for effect in effects if effect.attempt]
    if any(move.free or move.cost is not None for move in moves):
        admission.resume_for_budget(session, account)  # money may come back: more was booked than is billed
    forgotten = [handle for effect in effects for handle in effect.forgotten]
    if forgotten:
        session.execute(_FORGET, {"account": account, "handles": forgotten})


def _job_move(move: JobMove, attempt: AttemptMove | None, moved: Mapping[uuid.UUID, AttemptMoved]) -> JobMove:
    # Of a former version's attempt only the books hear: what came of it is not this version's picture.
    return replace(move, attempt=moved[attempt.id].number) if attempt else move


def _keep(session: Session, effects: Sequence[Effects]) -> None:
    """Keep what was stored of jobs before they are moved: the move writes the events that webhooks receive."""
    stored = [stored for effect in effects for stored in effect.stored]
    postponed = [effect.postponed for effect in effects if effect.postponed]
    if stored or postponed:
        moving = {effect.job.job_id for effect in effects if effect.job}
        waiting = {wait.job_id for wait in postponed}
        saving.write(session, stored, postponed, sorted(moving | waiting))


def settle_admission(session: Session, account: str, troubles: Sequence[Trouble], *, opened: bool = False) -> None:
    """Stop the account for these troubles, or let it accept again after a successful probe."""
    if not troubles:
        if opened:
            admission.succeeded(session, account)
        return
    lasting = next((trouble for trouble in troubles if trouble.lasting), None)
    if lasting:
        admission.stop(session, account, lasting.reason, lasting.note)
        return
    # A group's troubles have one cause: they count as one failure, with the longest wait that was asked for.
    worst = max(troubles, key=lambda trouble: trouble.seconds or 0.0)
    last = max((trouble.sent_at for trouble in troubles if trouble.sent_at), default=None)
    admission.failed(session, account, worst.reason, worst.note, worst.seconds, last, worst.longest)


def hold_polls(session: Session, account: str, seconds: Sequence[float]) -> None:
    """Leave the account's provider alone for the longest of these waits."""
    longest = max(seconds, default=0.0)
    if longest > 0:
        admission.hold_polls(session, account, longest)


def recorded(session: Session, attempts: Sequence[AttemptMove], jobs: Sequence[Moved]) -> Recorded:
    """What moves that were written mean for others."""
    ended = tuple(move for move in jobs if move.now in ANNOUNCED_JOB_STATES)
    polls = [attempt.poll_in for attempt in attempts if attempt.poll_in is not None]
    return Recorded(
        saving=any(move.now is JobState.SAVING for move in jobs),
        requeued=any(move.now is JobState.QUEUED for move in jobs),
        freed=any(AttemptState(attempt.to) not in OPEN_ATTEMPT_STATES for attempt in attempts),
        poll_in=min(polls, default=None),
        announce=waiting_for(session, ended),
        ended=ended,
    )


def waiting_for(session: Session, ended: Sequence[Moved]) -> tuple[str, ...]:
    """The ids of ended jobs that producers wait for. A catalog's jobs have no producers, and are not looked up."""
    ids = [move.job_id for move in ended if move.batch_id == SINGLES]
    if not ids:
        return ()
    return tuple(session.execute(_WAITED_FOR, {"ids": ids}).scalars())
