"""The sweep: finds what a crash, a flushed broker or a lost message left behind, and continues it.

Every rule is a statement that does nothing when all is well, so any number of sweeps may run side by side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import structlog
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import columns, seconds_ago
from models.programs import KEPT_SECONDS
from models.states import ANNOUNCED_JOB_STATES, JobState, Reason
from workers.accounts import admission
from workers.config.accounts import Account, ahead_of
from workers.engine import checking, claims, leases, saving
from workers.engine.check import makes_checks
from workers.engine.locate_outcomes import JUDGE_MARGIN_SECONDS, WRITE_SECONDS
from workers.engine.record import waiting_for
from workers.engine.runtime import Runtime
from workers.engine.wake import CHECK_PUMP, DELIVER_PUMP, poll_pump, search_pump, store_pump, submit_pump, wake
from workers.jobs import counters
from workers.jobs.state_changes import JobMove
from workers.jobs.transitions import move_jobs
from workers.maintenance.verdict_counts import fold
from workers.messaging.publish import announce, publish
from workers.restore import search
from workers.webhooks import deliver

OVERDUE_SECONDS = 3.0  # a pump this late was lost; a message on its way is younger
RECOUNT_SECONDS = 3_600.0  # between two verifications of an ended batch, each of which reads all of its jobs
UNANNOUNCED_SECONDS = 5.0  # an end announced by its own pump takes milliseconds
CHUNK = 1_000
COUNT_LOCK = 0x5EC0  # advisory lock of the one sweep that verifies counts

log = structlog.get_logger()

_JUDGE = text(f"""
    UPDATE attempts SET state = 'unknown', reason = :reason, error = :error, next_poll_at = clock_timestamp()
    WHERE id IN (
        SELECT id FROM attempts WHERE state = 'sending' AND account = :account AND sent_at < {seconds_ago(":seconds")}
        ORDER BY id FOR UPDATE SKIP LOCKED
    ) AND state = 'sending' RETURNING id
""")
_POLLS_WAIT = text("""
    SELECT EXISTS (
        SELECT 1 FROM attempts WHERE account = :name AND next_poll_at <= statement_timestamp()
            AND coalesce((SELECT polls_after FROM accounts WHERE name = :name), '-infinity') <= clock_timestamp())
""")
_EXPIRED = text("SELECT id FROM jobs WHERE state = 'queued' AND expires_at < statement_timestamp() LIMIT :limit")
_UNANNOUNCED = text(f"""
    SELECT DISTINCT a.job_id FROM announcements a JOIN jobs j ON j.id = a.job_id
    WHERE a.announced_at IS NULL AND j.state = ANY(:states)
        AND greatest(j.finished_at, a.created_at) < {seconds_ago(":seconds")}
    LIMIT :limit
""")
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
# A batch is verified at its end, and then now and then for a day: counting a million rows every few seconds would cost
# more than it is worth.
_ENDED_BATCHES = text(f"""
    SELECT id FROM batches WHERE id > 0 AND queued + running + saving = 0
        AND created_at > clock_timestamp() - interval '1 day'
        AND (counted_at IS NULL OR counted_at < {seconds_ago(str(RECOUNT_SECONDS))}) ORDER BY id
""")
_COUNTED = text("UPDATE batches SET counted_at = clock_timestamp() WHERE id = :id")
_LOCK_BATCH = text("SELECT 1 FROM batches WHERE id = :id FOR UPDATE")
_TRUE_COUNTS = text(f"""
    SELECT {", ".join(f"count(*) FILTER (WHERE state = '{state}') AS {state}" for state in JobState)}
    FROM jobs WHERE batch_id = :id
""")
_KEPT_COUNTS = text(f"SELECT {columns(JobState)} FROM batches WHERE id = :id")
_CORRECT = text(f"UPDATE batches SET {', '.join(f'{state} = :{state}' for state in JobState)} WHERE id = :id")

_LEFTOVERS = (
    text(f"""
        DELETE FROM kept_answers WHERE (token_id, key) IN (
            SELECT token_id, key FROM kept_answers WHERE created_at < {seconds_ago(str(KEPT_SECONDS))} LIMIT :limit
            FOR UPDATE SKIP LOCKED
        )
    """),
    text("""
        UPDATE quotes SET content = NULL WHERE id IN (
            SELECT id FROM quotes WHERE expires_at < clock_timestamp() AND content IS NOT NULL LIMIT :limit
            FOR UPDATE SKIP LOCKED
        )
    """),
    text(f"""
        DELETE FROM quotes WHERE id IN (
            SELECT id FROM quotes WHERE expires_at < {seconds_ago(str(KEPT_SECONDS))} LIMIT :limit
            FOR UPDATE SKIP LOCKED
        )
    """),
)


def sweep(runtime: Runtime) -> Counter[str]:
    """Apply every rule once; how often each found something."""
    found: Counter[str] = Counter()
    for account in runtime.accounts.values():
        found["judged_unknown"] += runtime.db(_judge_sending, account)
        if runtime.db(_work_waits, account, ahead_of(account, runtime.accounts.values())):
            found["submit_woken"] += wake(runtime, submit_pump(account.name))
        if runtime.db(_polls_wait, account):
            found["poll_woken"] += wake(runtime, poll_pump(account.name))
        if runtime.db(search.waits, account.name):
            found["search_woken"] += wake(runtime, search_pump(account.name))
    if runtime.db(saving.waits):
        found["store_woken"] += wake(runtime, store_pump())
    if makes_checks(runtime.settings) and runtime.db(checking.is_due):
        found["check_woken"] += wake(runtime, CHECK_PUMP)
    if runtime.db(deliver.is_due):
        found["deliver_woken"] += wake(runtime, DELIVER_PUMP)
    for name in runtime.db(leases.overdue, OVERDUE_SECONDS):
        publish(name)
        found["overdue"] += 1
    expired, ended = runtime.db(_expire)
    found["expired"] += expired
    unannounced = runtime.db(_unannounced)
    announce(tuple({*unannounced, *ended}))
    found["unannounced"] += len(unannounced)
    found["counts_corrected"] += runtime.db(_verify_counts)
    found["verdicts_folded"] += runtime.db(fold)
    found["leftovers_removed"] += runtime.db(_remove_leftovers)
    runtime.db(_keep, found)
    return found


def _remove_leftovers(session: Session) -> int:
    """Remove answers of the API that nobody asks for again, and quotes with the catalogs that nobody took."""
    removed = 0
    for statement in _LEFTOVERS:
        removed += session.execute(statement, {"limit": CHUNK}).rowcount  # type: ignore[attr-defined]
    return removed


def _keep(session: Session, found: Counter[str]) -> None:
    """Log what was found, and count it for metrics; when all is well nothing is written."""
    numbers = {rule: number for rule, number in found.items() if number}
    for rule, number in numbers.items():
        log.info("sweep_found", rule=rule, number=number)
    counters.add(session, {counters.key(counters.SWEEP_FOUND, rule=rule): number for rule, number in numbers.items()})


def _judge_sending(session: Session, account: Account) -> int:
    """Submissions whose sender must be dead become unknown; none is moved before its sender's deadline."""
    values = {
        "account": account.name,
        "seconds": WRITE_SECONDS + account.submit_timeout + JUDGE_MARGIN_SECONDS,
        "reason": Reason.UNCLEAR_SUBMIT,
        "error": "the worker that sent it died before the answer was recorded",
    }
    return len(session.execute(_JUDGE, values).all())


def _work_waits(session: Session, account: Account, ahead: Sequence[Account]) -> bool:
    seen = admission.read(session, account.name)
    if not admission.allowance(seen, account.with_overrides(seen.overrides), 1).number:
        return False
    waiting = claims.next_claim_in(session, account, ahead)
    return waiting is not None and waiting <= 0


def _polls_wait(session: Session, account: Account) -> bool:
    return bool(session.execute(_POLLS_WAIT, {"name": account.name}).scalar_one())


def _expire(session: Session) -> tuple[int, tuple[str, ...]]:
    """Cancel queued jobs whose time ran out, whether or not an account could take them: how many, and who waits."""
    ids = session.execute(_EXPIRED, {"limit": CHUNK}).scalars()
    expected = frozenset({JobState.QUEUED})
    message = "the job expired before it could be sent"
    moves = [JobMove(job_id, JobState.CANCELED, Reason.EXPIRED, message, expected) for job_id in ids]
    moved = move_jobs(session, moves)
    return len(moved), waiting_for(session, moved)


def _unannounced(session: Session) -> Sequence[str]:
    wanted = {"states": list(ANNOUNCED_JOB_STATES), "seconds": UNANNOUNCED_SECONDS, "limit": CHUNK}
    return session.execute(_UNANNOUNCED, wanted).scalars().all()


def _verify_counts(session: Session) -> int:
    """Hold the counts of batches in work against their jobs; a difference is a defect, so it is logged and mended."""
    if not session.execute(_TRY_LOCK, {"key": COUNT_LOCK}).scalar_one():
        return 0
    return sum(_recount(session, batch_id) for batch_id in session.execute(_ENDED_BATCHES).scalars().all())


def _recount(session: Session, batch_id: int) -> int:
    session.execute(_LOCK_BATCH, {"id": batch_id})
    true = session.execute(_TRUE_COUNTS, {"id": batch_id}).one()
    kept = session.execute(_KEPT_COUNTS, {"id": batch_id}).one()
    session.execute(_COUNTED, {"id": batch_id})
    if tuple(true) == tuple(kept):
        return 0
    log.error("batch_counts_differ", batch=batch_id, kept=tuple(kept), true=tuple(true))
    session.execute(_CORRECT, {"id": batch_id, **true._mapping})
    return 1
