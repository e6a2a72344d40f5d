"""The numbers of a scrape, read from PostgreSQL alone: any one `web` process answers for all workers.

Nothing here grows with the jobs that have ended: those are counted as they end (`workers.jobs.counters`), batches
keep their counts, and partial indexes cover what is open.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.batches import SINGLES
from models.fragments import is_open, since
from models.spend import ACCOUNT_NAME, OF_AN_ACCOUNT
from models.states import ANNOUNCED_JOB_STATES, OPEN_ATTEMPT_STATES, Closure, JobState
from workers.accounts import budget
from workers.engine import leases

#: States of single jobs that are counted; `jobs_ended` counts those that have ended.
SINGLE_STATES = (JobState.QUEUED, JobState.RUNNING, JobState.SAVING, JobState.HELD)

_STATES = ", ".join(f"coalesce(sum({state}), 0) AS {state}" for state in JobState)
_CATALOGS = text(f"SELECT {_STATES} FROM batches WHERE id > 0")
_OF_SINGLES = text(
    "SELECT state, count(*) AS number FROM jobs WHERE batch_id = :singles AND state = ANY(:states) GROUP BY state"
)
# One probe of the index for each lane, batch and priority that has queued jobs, instead of a walk over all of them.
_OLDEST = text(f"""
    WITH RECURSIVE heads AS (
        (SELECT lane, batch_id, priority FROM jobs WHERE state = 'queued'
         ORDER BY lane, batch_id, priority DESC, seq LIMIT 1)
        UNION ALL
        SELECT next.lane, next.batch_id, next.priority FROM heads, LATERAL (
            (SELECT lane, batch_id, priority FROM jobs
             WHERE state = 'queued' AND lane = heads.lane AND batch_id = heads.batch_id AND priority < heads.priority
             ORDER BY priority DESC, seq LIMIT 1)
            UNION ALL
            (SELECT lane, batch_id, priority FROM jobs
             WHERE state = 'queued' AND (lane, batch_id) > (heads.lane, heads.batch_id)
             ORDER BY lane, batch_id, priority DESC, seq LIMIT 1)
            LIMIT 1
        ) AS next
    )
    SELECT {since("min(first.created_at)")} FROM heads, LATERAL (
        SELECT created_at FROM jobs
        WHERE state = 'queued' AND lane = heads.lane AND batch_id = heads.batch_id AND priority = heads.priority
        ORDER BY seq LIMIT 1
    ) AS first
""")
_IN_FLIGHT = text(f"""
    SELECT account, state, count(*) AS number FROM attempts WHERE {is_open("attempts")} GROUP BY account, state
""")
_ACCOUNTS = text("""
    SELECT name, failures, coalesce(closed_until > clock_timestamp(), false) AS closed, closed_reason FROM accounts
    ORDER BY name
""")
_UNANNOUNCED = text("""
    SELECT count(*) FROM announcements a JOIN jobs j ON j.id = a.job_id
    WHERE a.announced_at IS NULL AND j.state = ANY(:states)
""")
_LAG = text("""
    SELECT name,
        extract(epoch FROM greatest(clock_timestamp() - least(wake_at, until), interval '0'))::float8 AS seconds
    FROM leases WHERE until IS NULL OR until < clock_timestamp()
""")
_SPEND = text(f"""
    SELECT {ACCOUNT_NAME} AS account, split_part(period, ':', 1) AS period, amount FROM spend
    WHERE {OF_AN_ACCOUNT} AND period = ANY(:periods)
""")
_COUNTERS = text("SELECT name, labels, value, last_at FROM tallies ORDER BY name, labels")


@dataclass(frozen=True, slots=True)
class AccountStop:
    """Whether an account accepts submissions."""

    account: str
    #: Why it does not; None while it does.
    closed: Closure | None
    failures: int


@dataclass(frozen=True, slots=True)
class Counter:
    """A number that only grows, and when it last did."""

    name: str
    labels: Mapping[str, str]
    value: float
    last_at: datetime


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The deployment at one moment; times in seconds, money in the deployment's currency."""

    #: By kind (``catalog``, ``single``) and state.
    jobs: Mapping[tuple[str, str], int]
    oldest_queued: float | None
    #: Open attempts by account and state.
    in_flight: Mapping[tuple[str, str], int]
    accounts: Sequence[AccountStop]
    unannounced: int
    #: How late each pump is that is not running.
    lag: Mapping[str, float]
    #: By account and period (``day``, ``month``; UTC).
    spend: Mapping[tuple[str, str], Decimal]
    counters: Sequence[Counter]


def collect(session: Session) -> Snapshot:
    """Read everything."""
    catalogs = session.execute(_CATALOGS).one()._mapping
    singles = session.execute(_OF_SINGLES, {"singles": SINGLES, "states": list(SINGLE_STATES)})
    numbers = {row.state: row.number for row in singles}
    accounts = session.execute(_ACCOUNTS).all()
    in_flight = {(row.account, row.state): row.number for row in session.execute(_IN_FLIGHT)}
    periods = list(budget.periods(leases.now(session)).values())
    return Snapshot(
        jobs={("catalog", state): int(catalogs[state]) for state in JobState}
        | {("single", state): numbers.get(state, 0) for state in SINGLE_STATES},
        oldest_queued=session.execute(_OLDEST).scalar_one(),
        in_flight={(row.name, state): 0 for row in accounts for state in OPEN_ATTEMPT_STATES} | in_flight,
        accounts=[
            AccountStop(row.name, Closure(row.closed_reason) if row.closed else None, row.failures) for row in accounts
        ],
        unannounced=session.execute(_UNANNOUNCED, {"states": list(ANNOUNCED_JOB_STATES)}).scalar_one(),
        lag={row.name: row.seconds or 0.0 for row in session.execute(_LAG)},
        spend={(row.account, row.period): row.amount for row in session.execute(_SPEND, {"periods": periods})},
        counters=[
            Counter(row.name, json.loads(row.labels), row.value, row.last_at) for row in session.execute(_COUNTERS)
        ],
    )
