"""First looks at attempts under way, planned anew when more is known of how long the provider takes.

That is when the first results are in, and when callbacks that were relied on are missing.
"""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.states import AttemptState

AT_ONCE = 2_000  # attempts planned by one statement: it takes some 20 ms

_FIRST = "CASE WHEN callback_token IS NULL THEN cast(:first AS float8) ELSE :called END * interval '1 second'"
# What is due is being polled, and what another transaction holds is left to it. A look that is planned sooner stays so.
_PLAN = text(f"""
    WITH planned AS (
        SELECT id, accepted_at + {_FIRST} * (1 + :spread * random()) AS look FROM attempts
        WHERE account = :account AND operation = :operation AND state = '{AttemptState.RUNNING}' AND polls = 0
            AND next_poll_at > greatest(statement_timestamp(), accepted_at + {_FIRST} * (1 + :spread))
        ORDER BY next_poll_at LIMIT :number FOR UPDATE SKIP LOCKED
    )
    UPDATE attempts SET next_poll_at = look FROM planned WHERE attempts.id = planned.id
""")


def plan_first_looks(
    session: Session, account: str, operation: str, *, first: float, called: float, spread: float
) -> bool:
    """Let running attempts without a look be looked at soon after they were accepted, or sooner if that was planned.

    Args:
        session: a database session.
        account: the attempts' account.
        operation: and their operation.
        first: seconds from acceptance to the look.
        called: the same for attempts whose provider will call back.
        spread: share of these by which looks are later, up to that much.

    Returns:
        Whether all were planned; otherwise call it again.
    """
    parameters = {
        "account": account, "operation": operation, "first": first, "called": called, "spread": spread,
        "number": AT_ONCE,
    }  # fmt: skip
    return int(session.execute(_PLAN, parameters).rowcount) < AT_ONCE  # type: ignore[attr-defined]
