"""Redos without a person: pictures that a quality check flagged are asked for again, where their batch says so.

`recast run --redo-flagged no_face --redo-cap 3.00` asks for it. The check pump notes jobs with a new flag
(`workers.engine.checking`), and the sweep lets this decide about them: a job whose pictures are all flagged, and of
which nobody has judged one, is redone as often as its batch allows. What redos of flagged pictures may cost in the
batch is a limit of its own, within the batch's and the accounts' (`workers.engine.begin`). What does not fit stays
flagged, for people.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.redo import redo
from desk.redo_plan import Change, Plan, Terms, plan
from models.people import Role
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.redone import BY_CHECK, spent_by_check
from workers.jobs.transitions import lock_jobs

#: Jobs that one transaction decides about.
AT_ONCE = 200
SEEDS = 2**31 - 1  # every operation with a seed takes one up to this

#: Who makes these redos.
CHECKS = Actor("checks", Role.OPERATOR, BY_CHECK)

_BATCHES = text("SELECT DISTINCT batch_id FROM due_redos ORDER BY batch_id")
_ONE_AT_A_TIME = text("SELECT pg_advisory_xact_lock(hashtextextended('redo of flags:' || :batch_id, 0))")
_DUE = text("SELECT job_id FROM due_redos WHERE batch_id = :batch_id LIMIT :number")
_DECIDED = text("DELETE FROM due_redos WHERE job_id = ANY(:ids)")
# Of several pictures of a job, one that is not flagged is enough: people choose it.
_FIT = text(f"""
    SELECT j.id, j.options ? 'seed' AS seeded, b.redo_cap
    FROM jobs j JOIN batches b ON b.id = j.batch_id
    WHERE j.id = ANY(:ids) AND j.state = 'succeeded'
        AND NOT EXISTS (SELECT FROM reviews WHERE job_id = j.id AND verdict IS NOT NULL)
        AND (SELECT count(*) FROM redos WHERE job_id = j.id AND via = '{BY_CHECK}') < coalesce(b.redo_each, 1)
        AND NOT EXISTS (
            SELECT FROM results r JOIN attempts a ON a.id = r.attempt_id
            WHERE r.job_id = j.id AND a.number > j.former_attempts AND NOT EXISTS (
                SELECT FROM checks c WHERE c.result_id = r.id AND c.flagged AND c.name = ANY(b.redo_flagged)))
    ORDER BY j.seq
""")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Decided:
    """How many jobs were decided about, and the accounts' jobs that are sent again."""

    jobs: int
    redone: int


def redo_flagged(runtime: Runtime) -> int:
    """Redo what is flagged and may be redone, in all batches; how many jobs."""
    terms = Terms.of(runtime.settings, runtime.accounts, runtime.reach)
    redone = 0
    for batch_id in runtime.db(_batches):
        while (found := runtime.db(_decide, batch_id, terms)).jobs:
            redone += found.redone
    if redone:
        wake(runtime, *map(submit_pump, runtime.accounts))
    return redone


def _batches(session: Session) -> Sequence[int]:
    return session.execute(_BATCHES).scalars().all()


def _decide(session: Session, batch_id: int, terms: Terms) -> _Decided:
    """Decide about some jobs of a batch; about none where there are no more."""
    session.execute(_ONE_AT_A_TIME, {"batch_id": str(batch_id)})
    ids = list(session.execute(_DUE, {"batch_id": batch_id, "number": AT_ONCE}).scalars())
    # Before what is due: the pump that writes checks locks its jobs first, too.
    lock_jobs(session, ids)
    session.execute(_DECIDED, {"ids": ids})
    fit = session.execute(_FIT, {"ids": ids}).all()
    redone = sum(_redo(session, batch_id, part, change, terms) for part, change in _changes(fit))
    return _Decided(len(ids), redone)


def _changes(fit: Sequence[Row[Any]]) -> Iterator[tuple[Sequence[Row[Any]], Change]]:
    """The jobs by what is asked for: with the seed of before, the picture would be the same."""
    yield [job for job in fit if not job.seeded], Change()
    yield [job for job in fit if job.seeded], Change(seed=secrets.randbelow(SEEDS))


def _redo(session: Session, batch_id: int, jobs: Sequence[Row[Any]], change: Change, terms: Terms) -> int:
    if not jobs:
        return 0
    wanted = plan(session, [job.id for job in jobs], change, terms)
    for why, number in wanted.left_out.items():
        log.info("flagged_not_redone", batch_id=batch_id, jobs=number, why=why)
    left = (jobs[0].redo_cap or Decimal(0)) - spent_by_check(session, batch_id)
    chosen = _affordable(wanted, [job.id for job in jobs], left)
    if len(chosen.jobs) < len(wanted.jobs):
        log.info("redo_cap_reached", batch_id=batch_id, jobs=len(wanted.jobs) - len(chosen.jobs), left=str(left))
    return len(redo(session, CHECKS, chosen, change, terms).ids) if chosen.jobs else 0


def _affordable(wanted: Plan, order: Sequence[str], left: Decimal) -> Plan:
    """The part of a plan, in the order of the catalog, that `left` pays for; nothing whose price is not known."""
    if wanted.unpriced:
        return replace(wanted, jobs=())
    by_id = {job.job_id: job for job in wanted.jobs}
    chosen = []
    for job in (by_id[name] for name in order if name in by_id):
        if job.at_most <= left:
            left -= job.at_most
            chosen.append(job)
    return replace(wanted, jobs=tuple(chosen))
