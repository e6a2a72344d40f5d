"""Holds after a restore: when the backup is older than the provider's bill, nothing is paid a second time.

What a job was sent as is a client reference made of its id and the attempt's number. So the references that it may have
been sent under since the backup are known, and can be searched for before anything is sent again:

    open job --> held (restored), with a search for each reference and account that it may have gone to
                   |
                   +-- found         the attempt is written down, paid, and polled on
                   +-- all absent    the job continues in the state of the backup
                   +-- not searchable, or no answer until the deadline: a person says (`recast resolve`)

Meanwhile attempts that the backup knows as running are polled on: what ends well needs no search.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.bulk import Bulk
from models.connection import be_patient
from models.fragments import last_attempt, seconds_from_now
from models.states import AttemptState, JobState, Reason
from workers.commit_log import on_commit
from workers.config.accounts import Account
from workers.engine.locate_outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS
from workers.jobs.lanes import bare, lane_operation
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs

CHUNK = 1_000
log = structlog.get_logger()

WATCH_DAYS = 7  # a catalog that the backup had missed is run again within a week
SEARCHED = "it may have been sent after the backup; Recast searches for it at the provider"
ASKED = "it may have been sent after the backup, and the provider's API has no search; a person has to decide"

PATIENCE_SECONDS = 1800  # claims of millions of jobs are reset by one statement
_PATIENCE = text(f"SET LOCAL statement_timeout = '{PATIENCE_SECONDS}s'")

# Everything that says who was doing what, or knows a secret that has been spent since.
_RESET = (
    text("UPDATE leases SET owner = NULL, until = NULL, wake_at = NULL, generation = generation + 1"),
    text("UPDATE accounts SET session = NULL, session_refresh_at = NULL, inbox_at = NULL"),
    text("UPDATE jobs SET claimed_until = NULL WHERE claimed_until IS NOT NULL"),
)
_OTHERS = text("""
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'recast%'
""")
_NOTE = text("INSERT INTO restores (watch_until) VALUES (clock_timestamp() + :watch)")
_END = text("UPDATE restores SET watch_until = now() WHERE watch_until > now()")
_WATCHES = text("SELECT EXISTS (SELECT 1 FROM restores WHERE watch_until > now())")


def _jobs(which: str) -> str:
    return f"""
        SELECT j.id, j.lane, j.state, last.number, last.account, last.state AS last_state
        FROM jobs j LEFT JOIN LATERAL {last_attempt("j.id", "number, account, state")} last ON true
        WHERE j.state IN ('queued', 'running') AND {which}
        ORDER BY j.id LIMIT :limit FOR UPDATE OF j
    """


_ALL_JOBS = text(_jobs("j.id > :after"))
_THESE_JOBS = text(_jobs("j.id = ANY(:ids)"))

#: Attempts of which the backup does not know whether they went out, or what came of it.
_UNSURE = (AttemptState.NOT_SENT, AttemptState.SENDING, AttemptState.UNKNOWN)
# Without an answer, a submission in flight is searched for like those that the backup never saw.
_SET_ASIDE = text("""
    UPDATE attempts SET state = 'expired', reason = 'restored', next_poll_at = NULL,
        finished_at = clock_timestamp()
    WHERE job_id = ANY(:ids) AND state IN ('sending', 'unknown')
""")
_DEADLINES = Bulk[Account](
    account=("text", lambda account: account.name), deadline=("float8", lambda account: account.deadline)
)
_POLL_ON = text(f"""
    UPDATE attempts SET next_poll_at = clock_timestamp(), deadline_at = {seconds_from_now("w.deadline")}
    FROM {_DEADLINES.table}
    WHERE attempts.account = w.account AND job_id = ANY(:ids) AND state = 'running'
""")


@dataclass(frozen=True, slots=True)
class _Search:
    """A submission that a job may have had since; without `wait` (seconds) a person decides."""

    job_id: str
    account: str
    operation: str
    number: int
    wait: float | None
    note: str | None = None


_SEARCHES = Bulk[_Search](
    job_id=("text", lambda search: search.job_id),
    number=("int", lambda search: search.number),
    account=("text", lambda search: search.account),
    operation=("text", lambda search: search.operation),
    wait=("float8", lambda search: search.wait),
    note=("text", lambda search: search.note),
)
_SEARCH = text(f"""
    INSERT INTO searches (job_id, number, account, operation, next_at, note)
    SELECT job_id, number, account, operation, {seconds_from_now("wait")}, note FROM {_SEARCHES.table}
    ON CONFLICT (job_id, number, account) DO UPDATE SET
        handle = NULL, absences = 0, looks = 0, created_at = now(), next_at = excluded.next_at, note = excluded.note
""")


@dataclass(slots=True)
class Holding:
    """What a restore holds: jobs by the account they may have been sent to, and how they continue."""

    jobs: int = 0
    #: Jobs that are searched for there.
    searched: Counter[str] = field(default_factory=Counter)
    #: Jobs of which only a person can say whether they were sent there.
    asked: Counter[str] = field(default_factory=Counter)
    #: Jobs with a submission that the backup knows, which is polled on.
    polled: int = 0


def others_connected(session: Session) -> int:
    """How many connections of Recast to this database there are besides this one."""
    return int(session.execute(_OTHERS).scalar_one())


def begin(session: Session, accounts: Mapping[str, Account], max_attempts: int, watch_days: int) -> Holding:
    """Hold all open work of a restored database and start its searches; no worker may use the database.

    For `watch_days` new jobs are held too (`watches`), since the backup may have missed them.
    """
    session.execute(_PATIENCE)
    be_patient(session.connection(), PATIENCE_SECONDS)
    session.execute(_NOTE, {"watch": timedelta(days=watch_days)})
    for statement in _RESET:
        session.execute(statement)
    holding, after = Holding(), ""
    while rows := session.execute(_ALL_JOBS, {"after": after, "limit": CHUNK}).all():
        _hold(session, rows, accounts, max_attempts, holding)
        after = rows[-1].id
    return holding


def end(session: Session) -> int:
    """Watch no longer for jobs that a backup had missed; how many restores were watched."""
    return int(session.execute(_END).rowcount)  # type: ignore[attr-defined]


def watches(session: Session) -> bool:
    """Whether new jobs may be ones that the backup missed."""
    return bool(session.execute(_WATCHES).scalar_one())


def hold(session: Session, accounts: Mapping[str, Account], max_attempts: int, job_ids: Sequence[str]) -> Holding:
    """Hold these jobs, as far as they are queued or running, and set their searches going."""
    holding = Holding()
    for start in range(0, len(job_ids), CHUNK):
        ids = list(job_ids[start : start + CHUNK])
        rows = session.execute(_THESE_JOBS, {"ids": ids, "limit": CHUNK}).all()
        _hold(session, rows, accounts, max_attempts, holding)
    if holding.jobs:
        on_commit(session, log.warning, "jobs_held", number=holding.jobs, reason=Reason.RESTORED)
    return holding


def _hold(
    session: Session, rows: Sequence[Row[Any]], accounts: Mapping[str, Account], max_attempts: int, holding: Holding
) -> None:
    if not rows:
        return
    ids = [row.id for row in rows]
    session.execute(_SET_ASIDE, {"ids": ids})
    polled = session.execute(_POLL_ON, {**_DEADLINES.of(accounts.values()), "ids": ids})
    holding.polled += polled.rowcount  # type: ignore[attr-defined]
    searches: list[_Search] = []
    moves: list[JobMove] = []
    for row in rows:
        found = list(_searches(row, accounts, max_attempts))
        searches += found
        holding.jobs += 1
        for waits in (True, False):
            names = {search.account for search in found if (search.wait is not None) is waits}
            (holding.searched if waits else holding.asked).update(names)
        message = SEARCHED if all(search.wait is not None for search in found) else ASKED
        moves.append(JobMove(row.id, JobState.HELD, Reason.RESTORED, message))
    session.execute(_SEARCH, _SEARCHES.of(searches))
    move_jobs(session, moves)


def _searches(row: Row[Any], accounts: Mapping[str, Account], max_attempts: int) -> Iterator[_Search]:
    """Under which references, and where, a job may have been sent since."""
    first = (row.number or 0) + (0 if row.last_state in _UNSURE else 1)
    unserved = True
    for account in accounts.values():
        operation = lane_operation(bare(row.lane), account)
        if operation is None:
            continue
        unserved = False
        if account.adapter.LOCATES_BY_REFERENCE:
            wait = WRITE_SECONDS + account.submit_timeout + JUDGE_MARGIN_SECONDS
            for number in range(first, first + max_attempts):
                yield _Search(row.id, account.name, operation, number, wait)
        else:
            note = f"{account.provider} cannot be searched by reference"
            yield _Search(row.id, account.name, operation, first, None, note)
    if unserved:
        name = row.account or bare(row.lane).rpartition("@")[0]
        yield _Search(row.id, name, "", first, None, "no account in the accounts file can serve it")
