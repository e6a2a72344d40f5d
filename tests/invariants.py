"""What must hold after any fault: held against the sandbox's bill and the database."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal

from models.states import JobState
from tests.stack import Stack, wait_for


def check_books(stack: Stack, *, can_locate: frozenset[str] = frozenset({"zhiqite", "piktid"})) -> None:
    """Every bill line belongs to exactly one attempt, and each attempt counted as accepted has its line.

    A line without an accepted attempt belongs to an attempt of a held job at a provider that cannot be searched. Spend
    is what the accepted and the unclear attempts cost, no more and no less.
    """
    attempts = stack.sql(
        "SELECT a.id, a.job_id, a.account, a.operation, a.handle, a.state, a.accepted_at, a.cost, j.state AS job_state"
        " FROM attempts a JOIN jobs j ON j.id = a.job_id"
    )
    accepted = [attempt for attempt in attempts if attempt.accepted_at is not None]
    lines = stack.sandbox.bill()
    by_handle = Counter(line["handle"] for line in lines)
    assert not [handle for handle, times in by_handle.items() if times > 1]
    claimed = Counter(line["handle"] for attempt in accepted for line in lines if _belongs(attempt, line))
    assert all(times == 1 for times in claimed.values()), "a bill line that two attempts claim"
    without_line = [attempt for attempt in accepted if not any(_belongs(attempt, line) for line in lines)]
    assert not without_line, f"counted as accepted without a bill line: {without_line[:3]}"
    for attempt in accepted:
        amounts = {Decimal(line["amount"]) for line in lines if _belongs(attempt, line)}
        assert amounts == {attempt.cost}, f"an attempt that costs {attempt.cost} was billed {amounts}"
    unclaimed = [line for line in lines if not claimed[line["handle"]]]
    unclear = [item for item in attempts if item.accepted_at is None and item.state in ("unknown", "expired")]
    held = [attempt for attempt in unclear if attempt.job_state == "held"]
    assert len(unclaimed) <= len(held), f"{len(unclaimed)} paid submissions are nobody's: {unclaimed[:3]}"
    assert not [line for line in unclaimed if line["provider"] in can_locate]
    amounts_held = Counter(attempt.cost for attempt in held)
    assert not Counter(Decimal(line["amount"]) for line in unclaimed) - amounts_held
    promised = sum((attempt.cost for attempt in accepted + unclear), Decimal(0))
    spent = stack.sql(
        "SELECT coalesce(sum(amount), 0) AS n FROM spend WHERE scope LIKE 'account:%' AND period LIKE 'day:%'"
    )
    assert spent[0].n == promised, "spend is not what was promised"


def _belongs(attempt: object, line: dict[str, object]) -> bool:
    return line["handle"] == getattr(attempt, "handle", None) or line["reference"] == str(getattr(attempt, "id", None))


def check_results(stack: Stack) -> None:
    """Each succeeded job has exactly one result set, complete and in storage; nobody else has results in use."""
    sets = stack.sql(
        "SELECT j.id, count(DISTINCT r.attempt_id) AS sets FROM jobs j LEFT JOIN results r ON r.job_id = j.id"
        " WHERE j.state = 'succeeded' GROUP BY j.id"
    )
    assert not [row for row in sets if row.sets != 1]
    counts = stack.sql(
        "SELECT a.id FROM attempts a JOIN jobs j ON j.id = a.job_id LEFT JOIN results r ON r.attempt_id = a.id"
        " WHERE j.state = 'succeeded' AND a.state = 'done' AND a.outputs IS NOT NULL"
        " GROUP BY a.id HAVING count(r.id) <> jsonb_array_length(a.outputs)"
    )
    assert not counts, "a succeeded job whose pictures are not all there"


def check_batches(stack: Stack) -> None:
    """The counts that batches keep are those of their jobs."""
    for batch in stack.sql("SELECT * FROM batches WHERE id > 0"):
        rows = stack.sql("SELECT state, count(*) AS n FROM jobs WHERE batch_id = :id GROUP BY state", id=batch.id)
        true = {row.state: row.n for row in rows}
        assert {state: getattr(batch, state) for state in JobState} == {state: true.get(state, 0) for state in JobState}


def check_nothing_leaks(stack: Stack) -> None:
    """No attempt is open whose job has ended, but those that are held until their deadline."""
    leaked = stack.sql(
        "SELECT a.id, a.state, j.state AS job_state FROM attempts a JOIN jobs j ON j.id = a.job_id"
        " WHERE a.state IN ('sending', 'running', 'unknown')"
        " AND j.state IN ('succeeded', 'failed', 'rejected', 'queued')"
    )
    assert not leaked, f"attempts that hold a place for nothing: {leaked[:3]}"


def check_idle(stack: Stack, *, timeout: float = 30.0) -> None:
    """With nothing left to do, no lease is held, no place is taken, and nobody waits for an end that is known."""
    waited = {
        "leases are held": "SELECT name, owner FROM leases WHERE until IS NOT NULL",
        "attempts are open": "SELECT id, state FROM attempts WHERE state IN ('sending', 'running', 'unknown')",
        "ends are not announced": "SELECT a.task_id FROM announcements a JOIN jobs j ON j.id = a.job_id"
        " WHERE a.announced_at IS NULL AND j.state <> 'held'",
    }
    for what, query in waited.items():
        wait_for(lambda query=query: not stack.sql(query), timeout=timeout, message=f"the end of: {what}")  # type: ignore[misc]


def check_all(stack: Stack) -> None:
    """Every invariant."""
    check_books(stack)
    check_results(stack)
    check_batches(stack)
    check_nothing_leaks(stack)
