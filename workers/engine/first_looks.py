"""First looks at attempts that were sent while nothing was known of how long the provider takes."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import AttemptState

AT_ONCE = 2_000  # attempts planned by one statement: it takes some 20 ms

# What is due is being polled, and what another transaction holds is left to it. A look that is planned sooner stays so.
_PLAN = text(f"""
    WITH planned AS (
        SELECT id, accepted_at + :first * (1 + :spread * random()) * interval '1 second' AS look FROM attempts
        WHERE account = :account AND operation = :operation AND state = '{AttemptState.RUNNING}' AND polls = 0
            AND next_poll_at > greatest(
                statement_timestamp(), accepted_at + :first * (1 + :spread) * interval '1 second')
        ORDER BY next_poll_at LIMIT :number FOR UPDATE SKIP LOCKED
    )
    UPDATE attempts SET next_poll_at = look FROM planned WHERE attempts.id = planned.id
""")


def plan_first_looks(session: Session, account: str, operation: str, first: float, spread: float) -> bool:
    """Let running attempts without a look be looked at `first` seconds after they were accepted, or sooner if planned.

    Each look comes up to the share `spread` of that later.

    Returns:
        Whether all were planned; otherwise call it again.
    """
    parameters = {"account": account, "operation": operation, "first": first, "spread": spread, "number": AT_ONCE}
    return int(session.execute(_PLAN, parameters).rowcount) < AT_ONCE  # type: ignore[attr-defined]
