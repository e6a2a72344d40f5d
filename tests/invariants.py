"""What must hold after any fault: held against the sandbox's bill and the database."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from celery import Celery

from models.states import JobState
from tests.bill import Bill, read_bill, wrong_in
from tests.stack import Stack, wait_for
from workers.config.settings import Settings
from workers.messaging.app import configuration


def wrongs(stack: Stack) -> list[str]:
    """Everything that is wrong, each in words; nothing may be under way."""
    bill = read_bill(stack)
    return [*wrong_in(bill), *_spend(stack, bill), *_ends(stack), *_results(stack), *_batches(stack), *_leaks(stack)]


def check_all(stack: Stack) -> None:
    """Every invariant."""
    found = wrongs(stack)
    assert not found, f"{len(found)} things are wrong: " + "; ".join(found[:5])


def _spend(stack: Stack, bill: Bill) -> Iterator[str]:
    """Spend is what the attempts cost that were, or may have been, taken; and the bill once all of that is known."""
    booked = "FROM attempts WHERE state NOT IN ('refused', 'not_sent') AND cost > 0"
    at = "sent_at AT TIME ZONE 'UTC'"
    promised = stack.sql(
        f"SELECT 'account:' || account AS scope, to_char({at}, '\"day:\"YYYY-MM-DD') AS period, sum(cost) AS amount"
        f" {booked} GROUP BY 1, 2 UNION ALL"
        f" SELECT 'account:' || account, to_char({at}, '\"month:\"YYYY-MM'), sum(cost) {booked} GROUP BY 1, 2 UNION ALL"
        f" SELECT 'batch:' || batch_id, 'all', sum(cost) {booked} AND batch_id > 0 GROUP BY 1"
    )
    expected = {(row.scope, row.period): row.amount for row in promised}
    kept = {(row.scope, row.period): row.amount for row in stack.sql("SELECT * FROM spend WHERE amount <> 0")}
    for key in sorted(expected.keys() | kept.keys()):
        if expected.get(key, 0) != kept.get(key, 0):
            yield f"spend of {key} is {kept.get(key, 0)}, and its attempts cost {expected.get(key, 0)}"
    if not any(entry.unclear for entry in bill.entries):
        denied = sum((line.amount for line in bill.denied), Decimal(0))
        billed = sum((line.amount for line in bill.lines), Decimal(0)) - denied
        spent = sum((amount for (_, period), amount in kept.items() if period.startswith("day:")), Decimal(0))
        if spent != billed:
            yield f"spend is {spent} and the bill {billed}, besides {denied} that a provider billed and denied"


def _ends(stack: Stack) -> Iterator[str]:
    """A job that did not succeed says why."""
    for row in stack.sql(
        "SELECT id, state FROM jobs WHERE state IN ('failed', 'rejected', 'canceled', 'held')"
        " AND (reason IS NULL OR error IS NULL)"
    ):
        yield f"job {row.id} is {row.state} without a reason"


def _results(stack: Stack) -> Iterator[str]:
    """Each succeeded job has exactly one result set, complete and in storage."""
    for row in stack.sql(
        "SELECT j.id, count(DISTINCT r.attempt_id) AS sets FROM jobs j"
        # What was made of a former version of the row stays, and is not counted.
        " LEFT JOIN attempts a ON a.job_id = j.id"
        " AND CASE WHEN j.kept_attempt IS NULL THEN a.number > j.former_attempts ELSE a.number = j.kept_attempt END"
        " LEFT JOIN results r ON r.attempt_id = a.id"
        " WHERE j.state = 'succeeded' GROUP BY j.id HAVING count(DISTINCT r.attempt_id) <> 1"
    ):
        yield f"job {row.id} succeeded with {row.sets} result sets"
    for row in stack.sql(
        "SELECT a.id, count(r.id) AS n, jsonb_array_length(a.outputs) AS said"
        " FROM attempts a JOIN jobs j ON j.id = a.job_id LEFT JOIN results r ON r.attempt_id = a.id"
        " WHERE j.state = 'succeeded' AND a.state = 'done' AND a.outputs IS NOT NULL"
        " GROUP BY a.id HAVING count(r.id) <> jsonb_array_length(a.outputs)"
    ):
        yield f"attempt {row.id} of a succeeded job has {row.n} of its {row.said} pictures"
    folder = Path(stack.env["RECAST_STORAGE_URL"])
    for row in stack.sql("SELECT DISTINCT key, size FROM results"):
        file = folder / row.key
        if not file.is_file() or file.stat().st_size != row.size:
            yield f"the picture {row.key} of {row.size} bytes is not in storage"


def _batches(stack: Stack) -> Iterator[str]:
    """The counts that batches keep are those of their jobs."""
    true: dict[int, Counter[str]] = {}
    for row in stack.sql("SELECT batch_id, state, count(*) AS n FROM jobs GROUP BY 1, 2"):
        true.setdefault(row.batch_id, Counter())[row.state] = row.n
    for batch in stack.sql("SELECT * FROM batches WHERE id > 0"):
        kept = {state.value: getattr(batch, state) for state in JobState}
        counted = {state.value: true.get(batch.id, Counter())[state] for state in JobState}
        if kept != counted:
            yield f"batch {batch.name} keeps {kept}, and its jobs are {counted}"


def _leaks(stack: Stack) -> Iterator[str]:
    """No attempt is open whose job has ended, but those that are held until their deadline; no claim outlives one."""
    for row in stack.sql(
        "SELECT a.id, a.state, j.state AS job_state FROM attempts a JOIN jobs j ON j.id = a.job_id"
        " WHERE a.state IN ('sending', 'running', 'unknown')"
        " AND j.state IN ('succeeded', 'failed', 'rejected', 'queued')"
    ):
        yield f"attempt {row.id} is {row.state} and holds a place, although its job is {row.job_state}"
    for row in stack.sql("SELECT id, state FROM jobs WHERE claimed_until IS NOT NULL AND finished_at IS NOT NULL"):
        yield f"job {row.id} is {row.state} and still claimed"


#: What comes to rest soon after the last job has ended, each by a query that finds nothing then.
RESTLESS = {
    "leases are held": "SELECT name, owner FROM leases WHERE until IS NOT NULL",
    "attempts are open": "SELECT id, state FROM attempts WHERE state IN ('sending', 'running', 'unknown')",
    "ends are not announced": "SELECT a.task_id FROM announcements a JOIN jobs j ON j.id = a.job_id"
    " WHERE a.announced_at IS NULL AND j.state <> 'held'",
}


def check_idle(stack: Stack, *, timeout: float = 30.0) -> None:
    """With nothing left to do, no lease, no place in flight and no task slot is held, and every end is announced."""
    for what, query in RESTLESS.items():
        wait_for(lambda query=query: not stack.sql(query), timeout=timeout, message=f"the end of: {what}")  # type: ignore[misc]
    wait_for(lambda: not busy_slots(stack), timeout=timeout, message="the end of: tasks hold slots of workers")


def busy_slots(stack: Stack) -> list[str]:
    """The tasks that the living workers are at, by what these say themselves; silence counts as being busy."""
    alive = [worker for worker in stack.workers if worker.process is not None and worker.process.poll() is None]
    names = [f"{worker.name}@test" for worker in alive]
    app = Celery("invariants", set_as_current=False)
    app.conf.update(
        configuration(Settings(broker_url=stack.env["RECAST_BROKER_URL"], database_url="postgresql://unused"))
    )
    with app.connection_for_write() as connection:
        said = app.control.inspect(destination=names, timeout=5.0, connection=connection).active() or {}
    app.close()
    tasks = [f"{task['name']}{task['args']}" for active in said.values() for task in active]
    return tasks + [f"{name} does not answer" for name in names if name not in said]
