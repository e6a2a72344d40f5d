"""Redo: pictures that are sent again on purpose, as new versions of their jobs.

What the desk, the command and programs do is this one function. A job's former picture stays its picture until the new
one is there; then the job is unreviewed. If no new one comes, the job is what it was, with its verdict
(`workers.jobs.redone`). What may be paid is decided where every submission is decided (`workers.engine.begin`), so a
redo passes no cap and no budget; what is checked here are the limits of redos themselves.

A redo names the version that a person saw. Of two for the same version, the second does nothing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor, ForbiddenError
from desk.audit import about, note
from desk.redo_plan import REDOABLE, REDONE, Change, Plan, Planned, Terms
from desk.verdicts import DeskError
from models.bulk import Bulk
from models.fragments import UNCLAIMS, columns, quoted, used_attempt
from models.jobs import ASKED, ENDING
from models.people import Role
from models.states import JobState
from recast.money import Money
from workers.jobs.redone import spent_on
from workers.jobs.state_changes import Moved
from workers.jobs.transitions import count, lock_jobs
from workers.operations.bulk import CHUNK
from workers.restore import hold

_PLANNED = Bulk[Planned](
    id=("text", lambda job: job.job_id),
    seen=("int", lambda job: job.version),
    lane=("text", lambda job: job.lane),
    options=("jsonb", lambda job: json.dumps(dict(job.options), ensure_ascii=False)),
    account=("text", lambda job: job.account),
    provider=("text", lambda job: job.provider),
    operation=("text", lambda job: job.operation),
    at_most=("numeric", lambda job: job.at_most),
)
# Locked first: the statement that follows then sees what another one of these, or a verdict, wrote.
_USED = f"(SELECT number FROM attempts WHERE id = {used_attempt('review.chosen', 'j.id')})"
_BEGIN = text(f"""
    WITH beginning AS (
        SELECT j.*, review.verdict, review.verdict_id, review.chosen, j.lane AS lane_before,
            greatest(former_attempts, (SELECT max(number) FROM attempts WHERE job_id = j.id)) AS made,
            CASE WHEN j.state = 'succeeded' THEN {_USED} END AS kept
        FROM jobs j JOIN {_PLANNED.table} ON w.id = j.id LEFT JOIN reviews review ON review.job_id = j.id
        WHERE j.version = w.seen AND j.state IN ({quoted(REDOABLE)}) AND j.erased_at IS NULL AND {REDONE} < :most
    ), kept AS (
        INSERT INTO versions (job_id, version, last_attempt, {columns((*ASKED, *ENDING))})
        SELECT id, version, made, {columns((*ASKED, *ENDING))} FROM beginning
    ), noted AS (
        INSERT INTO redos
            (job_id, version, person, via, at_most, after_attempt, lane, verdict, verdict_id, chosen)
        SELECT b.id, b.version + 1, :person, :via, w.at_most, b.made, b.lane_before, b.verdict, b.verdict_id, b.chosen
        FROM beginning b JOIN {_PLANNED.table} USING (id)
    ), judged AS (DELETE FROM reviews WHERE job_id IN (SELECT id FROM beginning)
    )
    UPDATE jobs SET
        lane = w.lane, options = w.options, account = w.account, provider = w.provider, operation = w.operation,
        state = 'queued', reason = NULL, error = NULL, {UNCLAIMS}, not_before = NULL, input_tries = 0,
        started_at = NULL, finished_at = NULL, version = jobs.version + 1, former_attempts = made,
        kept_attempt = beginning.kept,
        expires_at = CASE WHEN jobs.expires_at > clock_timestamp() THEN jobs.expires_at END
    FROM beginning JOIN {_PLANNED.table} ON w.id = beginning.id WHERE jobs.id = beginning.id
    RETURNING jobs.id, jobs.batch_id, (SELECT name FROM batches b WHERE b.id = jobs.batch_id) AS batch,
        beginning.state AS was
""")
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('redo:' || :person, 0))")
_SPENT_TODAY = text(
    spent_on("r.person = :person AND r.at >= date_trunc('day', now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'")
)


@dataclass(frozen=True, slots=True)
class Redone:
    """The jobs that are sent again; those that moved after the plan was made are not among them."""

    ids: tuple[str, ...]


def redo(
    session: Session, actor: Actor, plan: Plan, change: Change, terms: Terms, *, max_cost: Decimal | None = None
) -> Redone:
    """Queue the jobs of a plan as new versions.

    Args:
        session: a transaction.
        actor: who asks for it: an operator, or a reviewer within what a reviewer may spend in a day.
        plan: what was shown to the person.
        change: what it was made with, for the audit.
        terms: those it was made with.
        max_cost: the most that it may cost, with every attempt that may be paid.

    Raises:
        ForbiddenError: the person may not, or has spent what a reviewer may spend today.
        DeskError: it may cost more than `max_cost`, or a price is not known where a limit is in force.
    """
    actor.need(Role.REVIEWER, "redo pictures")
    check_limits(plan, terms, max_cost)
    if not actor.may(Role.OPERATOR):
        _within_the_day(session, actor, plan, terms)
    ids = [job.job_id for job in plan.jobs]
    lock_jobs(session, ids)
    given = {**_PLANNED.of(plan.jobs), "most": terms.most, "person": actor.name, "via": actor.via}
    rows = session.execute(_BEGIN, given).all() if ids else []
    count(session, [Moved(row.id, row.batch_id, JobState(row.was), JobState.QUEUED) for row in rows])
    begun = tuple(sorted(row.id for row in rows))
    if begun and hold.watches(session):
        # The database was restored from a backup, after which these may have been sent already.
        hold.hold(session, terms.accounts, terms.max_attempts, begun)
    if begun:
        subject = about({row.id: row.batch for row in rows})
        note(session, actor, "redo", subject, jobs=len(begun), at_most=str(plan.at_most), **change.said())
    return Redone(begun)


def redo_all(
    session: Session, actor: Actor, plan: Plan, change: Change, terms: Terms, *, max_cost: Decimal | None = None
) -> int:
    """Queue all jobs of a plan in this transaction, or none of them; how many. The rest is as with `redo`."""
    check_limits(plan, terms, max_cost)
    return sum(len(redo(session, actor, part, change, terms).ids) for part in portions(plan))


def check_limits(plan: Plan, terms: Terms, max_cost: Decimal | None) -> None:
    """Refuse a plan that may cost more than `max_cost`, or of which nobody knows whether it keeps to a limit.

    Raises:
        DeskError: says which, and what is possible.
    """
    if plan.unpriced and (max_cost is not None or plan.caps):
        raise DeskError(
            f"{', '.join(plan.unpriced)}: has no price, and a limit is in force; add the price to the account"
        )
    if max_cost is not None and plan.at_most > max_cost:
        most, limit = Money(plan.at_most, terms.currency), Money(max_cost, terms.currency)
        raise DeskError(f"max_cost: it may cost {most}, above {limit}; allow {most}, or choose fewer pictures")


def spent_today(session: Session, person: str) -> Decimal:
    """What the redos of a person today have cost, or may still cost."""
    return Decimal(session.execute(_SPENT_TODAY, {"person": person}).scalar_one())


def _within_the_day(session: Session, actor: Actor, plan: Plan, terms: Terms) -> None:
    session.execute(_ONE_AT_A_TIME, {"person": actor.name})
    spent = spent_today(session, actor.name)
    if plan.unpriced or spent + plan.at_most > terms.reviewer_cap:
        most, left, cap = (
            Money(amount, terms.currency)
            for amount in (plan.at_most, max(Decimal(0), terms.reviewer_cap - spent), terms.reviewer_cap)
        )
        raise ForbiddenError(
            f"this may cost {most}, and of the {cap} that a reviewer may spend on redos in a day "
            f"(RECAST_REVIEW_REDO_CAP) {left} are left for {actor.name}; an operator can do it"
        )


def portions(plan: Plan) -> Sequence[Plan]:
    """The plan in parts that a transaction does quickly; a plan for nothing has none."""
    starts = range(0, len(plan.jobs), CHUNK)
    return [replace(plan, jobs=plan.jobs[start : start + CHUNK]) for start in starts]
