"""Callbacks as they are kept: their bodies, and the polls that they make due."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import quoted
from models.states import AttemptState

BODIES_KEPT = 16  # of one token: the provider's events, each repeated some times; further ones make the poll due, too

#: Of attempts that a callback tells something about.
_TOLD = (AttemptState.SENDING, AttemptState.RUNNING, AttemptState.UNKNOWN, AttemptState.EXPIRED)
_IS_OPEN = f"callback_token = ANY(:tokens) AND state IN ({quoted(_TOLD)})"
_ACCOUNTS = text("SELECT callback_token, account FROM attempts WHERE callback_token = ANY(:tokens)")
#: Those that nobody holds, locked: a group waits for none, as all others in it would wait.
_FREE = text(f"SELECT callback_token FROM attempts WHERE {_IS_OPEN} ORDER BY id FOR UPDATE SKIP LOCKED")
_OPEN = text(f"SELECT callback_token FROM attempts WHERE {_IS_OPEN}")
# Bodies help to find a submission whose answer was lost, so none is kept of an attempt that has ended.
_KEEP = text("""
    INSERT INTO callbacks (token, body)
    SELECT token, body FROM (
        SELECT *, row_number() OVER (PARTITION BY token ORDER BY place) AS nth
        FROM unnest(cast(:tokens AS text[]), cast(:bodies AS bytea[])) WITH ORDINALITY AS given (token, body, place)
    ) told
    WHERE nth + (SELECT count(*) FROM callbacks c WHERE c.token = told.token) <= :most
    ORDER BY place
""")
# A callback can overtake the answer to the submission, so `sending` attempts record it too, without a poll.
_MARK = text("""
    UPDATE attempts SET callback_at = clock_timestamp(),
        next_poll_at = CASE WHEN state = 'sending' THEN next_poll_at ELSE clock_timestamp() END
    WHERE callback_token = ANY(:tokens)
    RETURNING callback_token, state
""")


@dataclass(frozen=True, slots=True)
class CallbackBody:
    """A callback to keep: the digest of its token, and its redacted body."""

    token: str
    body: bytes


def accounts_of(session: Session, tokens: Sequence[str]) -> dict[str, str]:
    """The accounts of the attempts that have these tokens, by token."""
    return {row.callback_token: row.account for row in session.execute(_ACCOUNTS, {"tokens": list(tokens)})}


@dataclass(frozen=True, slots=True)
class Kept:
    """What became of callbacks, by their tokens."""

    #: Whose attempts are due for a poll now.
    due: frozenset[str]
    #: Whose attempts others have locked: nothing is kept of these, and they are to be told again.
    locked: frozenset[str]


def keep(session: Session, told: Sequence[CallbackBody]) -> Kept:
    """Store bodies for which there is room, and make the polls of their attempts due; it waits for no lock."""
    tokens = {"tokens": [each.token for each in told]}
    free = set(session.execute(_FREE, tokens).scalars())
    locked = frozenset(session.execute(_OPEN, tokens).scalars()) - free
    mine = [each for each in told if each.token in free]  # they stay open for as long as we hold them
    bodies = {"tokens": [each.token for each in mine], "bodies": [each.body for each in mine], "most": BODIES_KEPT}
    session.execute(_KEEP, bodies)
    marked = session.execute(_MARK, {"tokens": sorted(free)})
    return Kept(frozenset(row.callback_token for row in marked if row.state != AttemptState.SENDING), locked)
