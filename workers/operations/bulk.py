"""Bulk operations: cancel, retry, pause, resume, reroute and set the priority of many jobs at once.

Jobs are moved in chunks, each a transaction fenced by the state that is expected, so that the pumps beside it never
wait long. A job is paused when its lane is parked (`lanes.PARKED`), which no account serves, or when its batch is
paused: `begin.begin` checks both under the locks of those very rows. So once the pausing is committed, only what was
`sending` by then can still be sent, and `sending` shows when that has ended.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import Any, TypeVar

from sqlalchemy import Row, TextClause, text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.fragments import columns, is_open, quoted
from models.jobs import INPUTS
from models.states import JobState, Reason
from recast.errors import InvalidJobError
from workers.config.accounts import Account
from workers.engine.record import waiting_for
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump, wake
from workers.jobs.filters import OF_BATCHES, Filter, Filtered, ids_of, ids_statement
from workers.jobs.lanes import PARKED, holds, lane_of, lane_operation
from workers.jobs.request import JobRequest
from workers.jobs.routing import Reach, route
from workers.jobs.transitions import move_alike
from workers.messaging.publish import announce
from workers.operations.costs import Line, lines

T = TypeVar("T")

CHUNK = 2_000  # jobs moved in one transaction: a tenth of a second
SIDE_BY_SIDE = 4  # transactions; more would only wait for the batch's row
LOOK_SECONDS = 0.1  # between two checks of what is still being sent

CANCELABLE = (JobState.QUEUED,)
#: At a provider, or held for a person: paid, or possibly so.
ABANDONABLE = (JobState.RUNNING, JobState.HELD)
RETRYABLE = (JobState.FAILED, JobState.REJECTED, JobState.CANCELED)
#: States of a job that may be sent (again).
PAUSABLE = (JobState.QUEUED, JobState.RUNNING, JobState.HELD)
#: Those whose lane is asked for once more, also after a retry. Most jobs have succeeded, and a redo gives a new lane.
RESUMABLE = tuple(state for state in JobState if state is not JobState.SUCCEEDED)

_PARKED = f"starts_with(j.lane, '{PARKED}')"
_RETRYABLE = Filtered(
    lambda which: (
        f"SELECT j.id, j.finished_at FROM {which.jobs} WHERE {which.where}"
        f" AND NOT EXISTS (SELECT 1 FROM attempts o WHERE o.job_id = j.id AND {is_open('o')}) ORDER BY j.id"
    )
)
_PARKED_ONES = ids_statement(_PARKED)
_PAUSED = ids_statement(f"({_PARKED} OR b.paused_at IS NOT NULL)")

# Another end is that of another try, of which nobody was asked here.
_AS_ENDED = text("""
    SELECT j.id FROM jobs j
    JOIN unnest(cast(:ids AS text[]), cast(:ends AS timestamptz[])) AS w(id, ended_at) USING (id)
    WHERE j.finished_at IS NOT DISTINCT FROM w.ended_at ORDER BY j.id FOR UPDATE OF j
""")
_PROLONG = text("""
    UPDATE jobs SET expires_at = NULL WHERE id IN (
        SELECT id FROM jobs WHERE id = ANY(:ids) AND state = ANY(:states) AND expires_at < clock_timestamp()
        ORDER BY id FOR UPDATE)
""")
_SENDING = text(f"""
    SELECT a.account, count(*) AS number FROM attempts a JOIN jobs j ON j.id = a.job_id
    WHERE a.state = 'sending' AND (a.batch_id = ANY(:batches) OR {_PARKED})
    GROUP BY a.account
""")


def _updating(assignments: str, condition: str) -> str:
    """SQL: rows of jobs are written, locked in the order of their ids."""
    return f"""
        UPDATE jobs j SET {assignments}
        WHERE id IN (SELECT id FROM jobs WHERE id = ANY(:ids) ORDER BY id FOR UPDATE) AND {condition}
    """


_SET_PRIORITY = text(_updating("priority = :priority", "j.state = 'queued'"))
_PARK = text(_updating(f"lane = '{PARKED}' || j.lane", f"NOT {_PARKED} AND j.state IN ({quoted(PAUSABLE)})"))
_UNPARK = text(_updating(f"lane = substr(j.lane, {len(PARKED) + 1})", _PARKED))


def _writing_batches(assignments: str, condition: str) -> Filtered:
    return Filtered(
        lambda which: (
            f"""
            UPDATE batches SET {assignments} WHERE id IN (
                SELECT b.id FROM batches b WHERE b.id > 0 AND {which.where} ORDER BY b.id FOR UPDATE
            ) AND {condition} RETURNING id
        """
        ),
        OF_BATCHES,
    )


_PAUSE_BATCHES = _writing_batches("paused_at = clock_timestamp(), paused_reason = 'person'", "true")
# A batch whose spending limit is spent would stop again at once: it needs a higher limit.
_RESUME_BATCHES = _writing_batches(
    "paused_at = NULL, paused_reason = NULL", "paused_at IS NOT NULL AND paused_reason IS DISTINCT FROM 'budget'"
)
_SPENT_BATCHES = text("""
    SELECT name FROM batches b WHERE b.id > 0 AND b.paused_reason = 'budget'
      AND (cast(:batch AS text) IS NULL OR b.name = :batch) AND (cast(:label AS text) IS NULL OR b.label = :label)
    ORDER BY b.id
""")
_RAISE_LIMIT = text("""
    UPDATE batches SET max_cost = :max_cost,
        paused_at = CASE WHEN paused_reason = 'budget' THEN NULL ELSE paused_at END,
        paused_reason = CASE WHEN paused_reason = 'budget' THEN NULL ELSE paused_reason END
    WHERE name = :batch
""")


def cancel(runtime: Runtime, ids: Sequence[str], *, abandon: bool = False) -> int:
    """Cancel queued jobs; with `abandon` also those at providers, which are polled on for the books only."""
    states = (*CANCELABLE, *(ABANDONABLE if abandon else ()))

    def work(session: Session, chunk: Sequence[str]) -> tuple[int, tuple[str, ...]]:
        moved = move_alike(session, chunk, JobState.CANCELED, Reason.CANCELED, "canceled by a person", expected=states)
        return len(moved), waiting_for(session, moved)

    canceled = 0
    for number, waited_for in in_chunks(runtime, ids, work):
        announce(waited_for)
        canceled += number
    return canceled


#: Jobs by id, and when each ended; sorted by id.
Ended = Mapping[str, datetime | None]


def retryable(session: Session, which: Filter) -> Ended:
    """Jobs that can be queued again; one that is still at a provider would be paid for twice."""
    return {row.id: row.finished_at for row in _RETRYABLE.execute(session, which)}


def retry(runtime: Runtime, ended: Ended) -> int:
    """Queue jobs again that did not succeed; each gets at least one more attempt, and keeps those it had.

    One that was queued again since it ended so, and has ended again, stays as it is.
    """

    def work(session: Session, chunk: Sequence[str]) -> int:
        asked = {"ids": list(chunk), "ends": [ended[job_id] for job_id in chunk]}
        ids = list(session.execute(_AS_ENDED, asked).scalars())
        session.execute(_PROLONG, {"ids": ids, "states": list(RETRYABLE)})
        return len(move_alike(session, ids, JobState.QUEUED, expected=RETRYABLE))

    retried = sum(in_chunks(runtime, list(ended), work))
    _wake_all(runtime)
    return retried


@dataclass(frozen=True, slots=True)
class Paused:
    """What was paused or resumed: whole batches, by id, or single jobs."""

    batches: tuple[int, ...]
    jobs: int


def pause(runtime: Runtime, which: Filter) -> Paused:
    """Let no job that fits be sent any more; returns at once, while what is being sent goes out (see `sending`)."""
    if which.whole_batches:
        return Paused(runtime.db(_write_batches, _PAUSE_BATCHES, which), 0)
    ids = runtime.db(ids_of, which.only(PAUSABLE))
    return Paused((), sum(in_chunks(runtime, ids, partial(_update, statement=_PARK))))


def resume(runtime: Runtime, which: Filter) -> Paused:
    """Let jobs that fit be sent again, however they were paused; a filter of whole batches resumes those too."""
    batches = runtime.db(_write_batches, _RESUME_BATCHES, which) if which.whole_batches or not which.named else ()
    ids = runtime.db(ids_of, which.only(RESUMABLE), _PARKED_ONES)
    resumed = sum(in_chunks(runtime, ids, partial(_update, statement=_UNPARK)))
    _wake_all(runtime)
    return Paused(batches, resumed)


def spent_batches(session: Session, which: Filter) -> list[str]:
    """The names of batches that `resume` leaves alone, because their spending limits are spent."""
    if not which.whole_batches and which.named:
        return []
    return list(session.execute(_SPENT_BATCHES, {"batch": which.batch, "label": which.label}).scalars())


def raise_limit(session: Session, batch: str, max_cost: Decimal) -> None:
    """Give a batch another spending limit; if it was the old one that had stopped it, the batch continues."""
    session.execute(_RAISE_LIMIT, {"batch": batch, "max_cost": max_cost})


def paused(session: Session, which: Filter) -> list[str]:
    """Jobs that fit and are paused, by themselves or with their batch."""
    return ids_of(session, which.only(PAUSABLE), _PAUSED)


def sending(session: Session, batches: Sequence[int]) -> Counter[str]:
    """How many submissions of paused jobs, or of these batches, are on their way, by account."""
    rows = session.execute(_SENDING, {"batches": list(batches)})
    return Counter({row.account: row.number for row in rows})


def settle(
    runtime: Runtime, batches: Sequence[int], seconds: float, progress: Callable[[Counter[str]], None]
) -> Counter[str]:
    """Wait until nothing paused is being sent; what still is after `seconds`, by account."""
    ends = time.monotonic() + seconds
    while still := runtime.db(sending, batches):
        progress(still)
        if time.monotonic() >= ends:
            break
        time.sleep(LOOK_SECONDS)
    return still


def set_priority(runtime: Runtime, ids: Sequence[str], priority: int) -> int:
    """Give queued jobs another priority; the higher goes first within its batch, and single jobs before batches."""
    return sum(in_chunks(runtime, ids, partial(_update, statement=_SET_PRIORITY, priority=priority)))


@dataclass(frozen=True, slots=True)
class Rerouted:
    """Which jobs go elsewhere, what they may cost there, and why others cannot: how many, by message."""

    ids: list[str]
    lines: list[Line]
    problems: Mapping[str, int]


def reroute(runtime: Runtime, ids: Sequence[str], to: Account, *, dry_run: bool = False) -> Rerouted:
    """Pin queued jobs to account `to`, where it can do what they ask; the others stay where they are."""
    ways: list[_Way] = []
    problems: Counter[str] = Counter()
    for found, wrong in in_chunks(runtime, ids, partial(_reroute, to=to, reach=runtime.reach, dry_run=dry_run)):
        ways += found
        problems += wrong
    if not dry_run:
        _wake_all(runtime)
    jobs = ((way.lane, way.options, 1) for way in ways)
    costs = lines(jobs, {to.name: to}, runtime.settings.tries.paid)
    return Rerouted([way.job_id for way in ways], costs, problems)


@dataclass(frozen=True, slots=True)
class _Way:
    """How a job goes to another account."""

    job_id: str
    lane: str
    options: Mapping[str, Any]
    #: What stays pinned: another provider's operation is not asked for.
    operation: str | None
    #: What holds it back meanwhile.
    held: str


_ASKED = text(f"""
    SELECT id, kind, {columns(INPUTS)}, operation, lane FROM jobs
    WHERE id = ANY(:ids) AND state = 'queued' ORDER BY id FOR UPDATE
""")
_WAYS = Bulk[_Way](
    id=("text", lambda way: way.job_id),
    lane=("text", lambda way: f"{way.held}{way.lane}"),
    operation=("text", lambda way: way.operation),
)
_REROUTE = text(f"""
    UPDATE jobs SET lane = w.lane, account = :account, provider = NULL, operation = w.operation
    FROM {_WAYS.table} WHERE jobs.id = w.id
""")


def _reroute(
    session: Session, ids: Sequence[str], *, to: Account, reach: Reach, dry_run: bool
) -> tuple[list[_Way], Counter[str]]:
    ways: list[_Way] = []
    problems: Counter[str] = Counter()
    for job in session.execute(_ASKED, {"ids": list(ids)}):
        try:
            ways.append(_way(job, to, reach))
        except InvalidJobError as error:
            problems[str(error)] += 1
    if ways and not dry_run:
        session.execute(_REROUTE, {**_WAYS.of(ways), "account": to.name})
    return ways, problems


def _way(job: Row[Any], to: Account, reach: Reach) -> _Way:
    # An operation that the account has stays the one that is meant, pinned or not.
    operation = lane_operation(lane_of(None, _operations(job.lane)), to)
    ask = JobRequest(
        kind=job.kind, **{name: job._mapping[name] for name in INPUTS}, account=to.name, operation=operation,
    )  # fmt: skip
    pinned = operation if job.operation else None
    return _Way(job.id, route(ask, {to.name: to}, reach), job.options, pinned, holds(job.lane))


def _operations(lane: str) -> list[str]:
    return lane.rpartition("@")[2].split("|")


def _write_batches(session: Session, statement: Filtered, which: Filter) -> tuple[int, ...]:
    return tuple(statement.execute(session, which).scalars())


def _update(session: Session, ids: Sequence[str], *, statement: TextClause, **values: object) -> int:
    """Write rows of jobs; how many were written."""
    result = session.execute(statement, {"ids": list(ids), **values})
    return int(result.rowcount)  # type: ignore[attr-defined]


def in_chunks(runtime: Runtime, ids: Sequence[str], work: Callable[[Session, Sequence[str]], T]) -> Iterator[T]:
    """What `work` answers for each chunk of jobs, a few transactions at a time."""
    chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
    with ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
        yield from pool.map(lambda chunk: runtime.db(work, chunk), chunks)


def _wake_all(runtime: Runtime) -> None:
    wake(runtime, *map(submit_pump, runtime.accounts))
