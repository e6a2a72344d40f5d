"""The gate of an account: whether it may take another submission now, and what closes and opens it.

The gate is a row. Whether it is open is computed from the clock, so nothing has to run to open it. After failures
an open gate is half open: one probe at a time goes through until one succeeds.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import text
from sqlalchemy.orm import Session

from models.fragments import is_open, quoted, seconds_from_now, since, until
from models.states import PASSING_CLOSURES, Closure
from workers.accounts.latency import Latencies
from workers.accounts.notices import noticed
from workers.backoff import Backoff
from workers.config.accounts import Account, Limits

PAUSE_CAP_SECONDS = 300.0  # asking every five minutes costs nothing and notices a recovery soon enough
OUTAGE = Backoff(first=1.0, cap=PAUSE_CAP_SECONDS)  # a provider's restart is over in seconds
THROTTLE = Backoff(first=2.0, cap=PAUSE_CAP_SECONDS)  # where the provider does not say how long
RATE_BURST_SECONDS = 1.0  # unused rate is kept for this long, so that a burst stays within what a provider measures


class Limit(StrEnum):
    """What keeps an open gate from letting submissions through."""

    IN_FLIGHT = "in_flight"
    PROBING = "probing"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Count:
    """How many attempts were open, at most, when the account had begun `begun` of them in all."""

    begun: int
    open: int


@dataclass(frozen=True, slots=True)
class Gate:
    """One account's gate as it stood at `now`."""

    now: datetime
    closed_for: float | None  # seconds still closed; None when open; infinite until a person opens it
    closed_reason: Closure | None
    failures: int
    rate_tokens: float | None
    rate_age: float
    count: Count
    #: Submissions on their way; known only after failures, when they matter.
    sending: int
    overrides: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many submissions may go out now; when none, why, and in how many seconds to ask again."""

    number: int
    tokens: float | None = None
    blocked_by: Closure | Limit | None = None
    ask_in: float | None = None


def allowance(gate: Gate, limits: Limits, wanted: int) -> Allowance:
    """How many of `wanted` submissions the gate lets through."""
    if gate.closed_for is not None:
        return Allowance(0, gate.rate_tokens, gate.closed_reason, gate.closed_for)
    number = wanted
    blocked_by: Limit | None = None
    ask_in: float | None = None
    free = limits.max_in_flight - gate.count.open
    if free < number:
        number, blocked_by = max(0, free), Limit.IN_FLIGHT
    if gate.failures > 0 and number > 0:
        number, blocked_by = max(0, min(number, 1 - gate.sending)), Limit.PROBING
    tokens = refilled(gate, limits)
    if tokens is not None and limits.rate is not None:
        if tokens < number:
            number, blocked_by = int(tokens), Limit.RATE
            ask_in = (int(tokens) + 1 - tokens) / limits.rate
        tokens -= number
    return Allowance(number, tokens, blocked_by, ask_in)


def refilled(gate: Gate, limits: Limits) -> float | None:
    """The rate's tokens by now, or None without a rate."""
    if limits.rate is None:
        return None
    capacity = max(1.0, limits.rate * RATE_BURST_SECONDS)
    if gate.rate_tokens is None:
        return capacity
    return min(capacity, gate.rate_tokens + gate.rate_age * limits.rate)


_LOCK = text("SELECT 1 FROM accounts WHERE name = :name FOR UPDATE")
_READ = text(f"""
    SELECT clock_timestamp() AS now, closed_reason, failures, rate_tokens, overrides, begun,
        CASE WHEN closed_until > clock_timestamp() THEN
            CASE WHEN closed_until = 'infinity' THEN 'infinity'::float8 ELSE {until("closed_until")} END
        END AS closed_for,
        coalesce({since("rate_at")}, 0) AS rate_age
    FROM accounts WHERE name = :name
""")
_COUNT_OPEN = text(f"SELECT count(*) FROM attempts WHERE account = :name AND {is_open('attempts')}")
_COUNT_SENDING = text("SELECT count(*) FROM attempts WHERE account = :name AND state = 'sending'")
_REGISTER = text("INSERT INTO accounts (name, provider) VALUES (:name, :provider) ON CONFLICT (name) DO NOTHING")
_PASS_THROUGH = text("""
    UPDATE accounts SET begun = begun + :number, rate_tokens = :tokens, rate_at = :at WHERE name = :name
""")
_TAKE_UP_AGAIN = text("UPDATE accounts SET begun = begun + :number WHERE name = :name")

_OPENED = "closed_until = NULL, closed_reason = NULL, closed_note = NULL"
_SUCCEED = text(f"""
    UPDATE accounts SET failures = 0, {_OPENED}
    WHERE name = :name AND failures > 0 AND (
        closed_reason IS NULL OR closed_reason IN ({quoted(sorted(PASSING_CLOSURES))})
        OR closed_until <= clock_timestamp())
""")
_REOPEN = text(f"UPDATE accounts SET failures = 0, {_OPENED} WHERE name = :name")
_OPEN_FOR_BUDGET = text(f"""
    UPDATE accounts SET {_OPENED} WHERE name = :name AND closed_reason = 'budget'
""")
_CLOSE_FOR = text(f"""
    UPDATE accounts SET closed_reason = :reason, closed_note = :note, closed_until = {seconds_from_now(":seconds")}
    WHERE name = :name AND (closed_until IS NULL OR closed_until < {seconds_from_now(":seconds")})
""")
_CLOSE = text("""
    UPDATE accounts SET closed_reason = :reason, closed_note = :note, closed_until = 'infinity' WHERE name = :name
""")
_FAIL = text("""
    UPDATE accounts SET failures = greatest(1, failures + CASE
        WHEN closed_until > coalesce(cast(:sent_at AS timestamptz), clock_timestamp()) THEN 0 ELSE 1 END)
    WHERE name = :name RETURNING failures
""")
_NOTES = text("SELECT name, closed_note, overridden_by, overridden_at FROM accounts")
_LATENCY = text("SELECT latency FROM accounts WHERE name = :name")
_KEEP_LATENCY = text("UPDATE accounts SET latency = cast(:document AS jsonb) WHERE name = :name")


def read(
    session: Session, name: str, *, lock: bool = False, known: Count | None = None, room_for: int | None = None
) -> Gate:
    """The gate of account `name`; with `lock` nobody else can submit to it before the transaction ends.

    Counting open attempts takes the longer the more of them wait. So whoever has a `known` count gets an upper bound
    from it, and a new count only when the bound is above `room_for`.
    """
    if lock:
        # Statements of their own: what is counted must be seen after the lock was granted.
        session.execute(_LOCK, {"name": name})
    row = session.execute(_READ, {"name": name}).one()
    bound = known.open + row.begun - known.begun if known else None
    if bound is None or room_for is None or bound > room_for:
        # Counted after `begun` was read: what begins in between makes the bound too high, never too low.
        bound = session.execute(_COUNT_OPEN, {"name": name}).scalar_one()
    sending = session.execute(_COUNT_SENDING, {"name": name}).scalar_one() if row.failures else 0
    return Gate(
        now=row.now,
        closed_for=row.closed_for,
        closed_reason=Closure(row.closed_reason) if row.closed_reason is not None else None,
        failures=row.failures,
        rate_tokens=row.rate_tokens,
        rate_age=row.rate_age,
        count=Count(row.begun, bound),
        sending=sending,
        overrides=row.overrides,
    )


class Notes(NamedTuple):
    """What people, or providers, have said of an account."""

    #: Why it was closed.
    closed: str | None
    overridden_by: str | None
    overridden_at: datetime | None


def notes(session: Session) -> dict[str, Notes]:
    """What was said of each account, by its name."""
    return {name: Notes(*said) for name, *said in session.execute(_NOTES)}


def register(session: Session, account: Account) -> None:
    """Make sure that the account has a gate."""
    session.execute(_REGISTER, {"name": account.name, "provider": account.provider})


def pass_through(session: Session, name: str, number: int, tokens: float | None, at: datetime) -> None:
    """Note that `number` submissions went through the gate, and what the rate's bucket held after them.

    Args:
        session: of the transaction that read the gate.
        name: the account.
        number: submissions.
        tokens: what is left of those that were there `at` the time the gate was read; with any later time the bucket
            would lose what comes in while submissions are committed, a fifth of a rate of ten a second.
        at: that time.
    """
    session.execute(_PASS_THROUGH, {"name": name, "number": number, "tokens": tokens, "at": at})


def taken_up_again(session: Session, name: str, number: int) -> None:
    """Note that `number` attempts that had ended are open again: they count as begun, or `Count` would miss them.

    Locks the account's row, so it comes before the attempts are moved.
    """
    session.execute(_TAKE_UP_AGAIN, {"name": name, "number": number})


@noticed
def succeeded(session: Session, name: str) -> None:
    """A submission got through: the gate is wholly open again."""
    session.execute(_SUCCEED, {"name": name})


@noticed
def close_for(session: Session, name: str, reason: Closure, seconds: float, note: str | None = None) -> None:
    """Close the gate for `seconds` at least; a longer closure that stands already stays."""
    session.execute(_CLOSE_FOR, {"name": name, "reason": reason, "seconds": seconds, "note": note})


@noticed
def close(session: Session, name: str, reason: Closure, note: str | None = None) -> None:
    """Close the gate until a person opens it, or what it was closed for has changed."""
    session.execute(_CLOSE, {"name": name, "reason": reason, "note": note})


@noticed
def reopen(session: Session, name: str) -> bool:
    """Open the gate; False when there is no such account."""
    result = session.execute(_REOPEN, {"name": name})
    return bool(result.rowcount)  # type: ignore[attr-defined]


@noticed
def open_for_budget(session: Session, name: str) -> None:
    """Open a gate that a spent budget closed: where it is spent still, the next submission closes it again."""
    session.execute(_OPEN_FOR_BUDGET, {"name": name})


def failed(
    session: Session,
    name: str,
    reason: Closure,
    note: str,
    retry_after: float | None = None,
    sent_at: datetime | None = None,
) -> None:
    """A submission could not be made: close the gate for as long as the provider says, or for a growing back-off.

    What went out before the gate closed is part of the failure that closed it (`sent_at`, by default now): a hundred
    submissions that one outage of seconds met must not close the gate for minutes.
    """
    failures = session.execute(_FAIL, {"name": name, "sent_at": sent_at}).scalar_one()
    backoff = THROTTLE if reason is Closure.THROTTLED else OUTAGE
    close_for(session, name, reason, backoff.delay(failures - 1) if retry_after is None else retry_after, note)


def latencies(session: Session, name: str) -> Latencies:
    """What was learned of the account's latencies."""
    document = session.execute(_LATENCY, {"name": name}).scalar_one()
    return Latencies(document)


def keep_latencies(session: Session, name: str, learned: Latencies) -> None:
    """Keep what was learned for the next slice, on whichever worker it runs."""
    session.execute(_KEEP_LATENCY, {"name": name, "document": json.dumps(learned.as_document())})
