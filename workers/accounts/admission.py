"""Admission of an account: whether it accepts another submission now, and what stops and resumes it.

It is a circuit breaker, a rate limit and a concurrency limit in one row. Whether the account is stopped is computed
from the clock, so no process has to run to let it accept again. After failures it is half open: one probe at a time is
sent until one succeeds. The columns (``closed_until``, ``closed_reason``) say "closed" for "stopped".
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime, timedelta
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

PAUSE_CAP_SECONDS = 300.0  # a probe every five minutes costs nothing and notices a recovery soon enough
OUTAGE = Backoff(first=1.0, cap=PAUSE_CAP_SECONDS)  # a provider's restart is over in seconds
THROTTLE = Backoff(first=2.0, cap=PAUSE_CAP_SECONDS)  # where the provider does not say how long
RATE_BURST_SECONDS = 1.0  # unused rate is kept for this long, so that a burst stays within what a provider measures


class Limit(StrEnum):
    """What keeps an account that is not stopped from accepting submissions."""

    IN_FLIGHT = "in_flight"
    PROBING = "probing"
    RATE = "rate"


@dataclass(frozen=True, slots=True)
class Count:
    """How many attempts were open, at most, when the account had begun `begun` of them in all."""

    begun: int
    open: int


@dataclass(frozen=True, slots=True)
class AdmissionState:
    """One account's admission as of `now`."""

    now: datetime
    closed_for: float | None  # seconds until it accepts again; None when it accepts; infinite until a person resumes it
    closed_reason: Closure | None
    failures: int
    rate_tokens: float | None
    rate_age: float
    count: Count
    #: Submissions being sent; counted only after failures, when they matter.
    sending: int
    overrides: dict[str, Any]

    @property
    def until(self) -> datetime | None:
        """When a stopped account accepts jobs again by itself; None where only a person can start it."""
        finite = self.closed_for is not None and math.isfinite(self.closed_for)
        return self.now + timedelta(seconds=self.closed_for or 0.0) if finite else None


@dataclass(frozen=True, slots=True)
class Allowance:
    """How many submissions may be sent now; when none, why, and after how many seconds to try again."""

    number: int
    tokens: float | None = None
    blocked_by: Closure | Limit | None = None
    ask_in: float | None = None


def allowance(state: AdmissionState, limits: Limits, wanted: int) -> Allowance:
    """How many of `wanted` submissions the account accepts now."""
    if state.closed_for is not None:
        return Allowance(0, state.rate_tokens, state.closed_reason, state.closed_for)
    number = wanted
    blocked_by: Limit | None = None
    ask_in: float | None = None
    free = limits.max_in_flight - state.count.open
    if free < number:
        number, blocked_by = max(0, free), Limit.IN_FLIGHT
    if state.failures > 0 and number > 0:
        number, blocked_by = max(0, min(number, 1 - state.sending)), Limit.PROBING
    tokens = refilled(state, limits)
    if tokens is not None and limits.rate is not None:
        if tokens < number:
            number, blocked_by = int(tokens), Limit.RATE
            ask_in = (int(tokens) + 1 - tokens) / limits.rate
        tokens -= number
    return Allowance(number, tokens, blocked_by, ask_in)


def refilled(state: AdmissionState, limits: Limits) -> float | None:
    """The rate's tokens by now, or None without a rate."""
    if limits.rate is None:
        return None
    capacity = max(1.0, limits.rate * RATE_BURST_SECONDS)
    if state.rate_tokens is None:
        return capacity
    return min(capacity, state.rate_tokens + state.rate_age * limits.rate)


_LOCK = text("SELECT 1 FROM accounts WHERE name = :name FOR UPDATE")
# An account that no process has entered yet, because it is new in the accounts file, is as open as it will be then.
_READ = text(f"""
    SELECT clock_timestamp() AS now, closed_reason, coalesce(failures, 0) AS failures, rate_tokens,
        coalesce(overrides, '{{}}') AS overrides, coalesce(begun, 0) AS begun,
        CASE WHEN closed_until > clock_timestamp() THEN
            CASE WHEN closed_until = 'infinity' THEN 'infinity'::float8 ELSE {until("closed_until")} END
        END AS closed_for,
        coalesce({since("rate_at")}, 0) AS rate_age
    FROM (VALUES (cast(:name AS text))) asked(name) LEFT JOIN accounts USING (name)
""")
_COUNT_OPEN = text(f"SELECT count(*) FROM attempts WHERE account = :name AND {is_open('attempts')}")
_COUNT_SENDING = text("SELECT count(*) FROM attempts WHERE account = :name AND state = 'sending'")
_REGISTER = text("INSERT INTO accounts (name, provider) VALUES (:name, :provider) ON CONFLICT (name) DO NOTHING")
_COUNT_BEGUN = text("""
    UPDATE accounts SET begun = begun + :number, rate_tokens = :tokens, rate_at = :at WHERE name = :name
""")
_COUNT_RESUMEED = text("UPDATE accounts SET begun = begun + :number WHERE name = :name")

_OPENED = "closed_until = NULL, closed_reason = NULL, closed_note = NULL"
_SUCCEED = text(f"""
    UPDATE accounts SET failures = 0, {_OPENED}
    WHERE name = :name AND failures > 0 AND (
        closed_reason IS NULL OR closed_reason IN ({quoted(sorted(PASSING_CLOSURES))})
        OR closed_until <= clock_timestamp())
""")
_RESUME = text(f"UPDATE accounts SET failures = 0, streak = NULL, {_OPENED} WHERE name = :name")
_RESUME_FOR_BUDGET = text(f"""
    UPDATE accounts SET {_OPENED} WHERE name = :name AND closed_reason = 'budget'
""")
_STOP_FOR = text(f"""
    UPDATE accounts SET closed_reason = :reason, closed_note = :note, closed_until = {seconds_from_now(":seconds")}
    WHERE name = :name AND (closed_until IS NULL OR closed_until < {seconds_from_now(":seconds")})
""")
_STOP = text("""
    UPDATE accounts SET closed_reason = :reason, closed_note = :note, closed_until = 'infinity' WHERE name = :name
""")
_FAIL = text("""
    UPDATE accounts SET failures = greatest(1, failures + CASE
        WHEN closed_until > coalesce(cast(:sent_at AS timestamptz), clock_timestamp()) THEN 0 ELSE 1 END)
    WHERE name = :name RETURNING failures
""")
_HOLD_POLLS = text(f"""
    UPDATE accounts SET polls_after = greatest(polls_after, {seconds_from_now(":seconds")}) WHERE name = :name
""")
_NOTES = text("SELECT name, closed_note, overridden_by, overridden_at FROM accounts")
_LATENCY = text("SELECT latency FROM accounts WHERE name = :name")
_KEEP_LATENCY = text("UPDATE accounts SET latency = cast(:document AS jsonb) WHERE name = :name")


def read(
    session: Session, name: str, *, lock: bool = False, known: Count | None = None, room_for: int | None = None
) -> AdmissionState:
    """The admission of account `name`; with `lock` no other worker can submit to it before the transaction ends.

    Counting open attempts takes longer the more of them there are. So a caller with a `known` count gets an upper
    bound from it, and a new count only when the bound is above `room_for`.
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
    return AdmissionState(
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
    """The notes on an account, by people or providers."""

    #: Why it was stopped.
    closed: str | None
    overridden_by: str | None
    overridden_at: datetime | None


def notes(session: Session) -> dict[str, Notes]:
    """The notes on each account, by its name."""
    return {name: Notes(*said) for name, *said in session.execute(_NOTES)}


def register(session: Session, account: Account) -> None:
    """Insert the account's row if there is none."""
    session.execute(_REGISTER, {"name": account.name, "provider": account.provider})


def count_begun(session: Session, name: str, number: int, tokens: float | None, at: datetime) -> None:
    """Count `number` submissions as begun, and keep what is left in the rate's bucket.

    Args:
        session: the transaction that read the admission.
        name: the account.
        number: submissions.
        tokens: what is left in the bucket, as of `at`, the time of the read. With a later time the bucket would lose
            the tokens added while submissions are committed: a fifth of them at ten a second.
        at: that time.
    """
    session.execute(_COUNT_BEGUN, {"name": name, "number": number, "tokens": tokens, "at": at})


def count_reopened(session: Session, name: str, number: int) -> None:
    """Count `number` ended attempts that are open again: they count as begun, or `Count` would miss them.

    Locks the account's row, so it comes before the attempts are moved.
    """
    session.execute(_COUNT_RESUMEED, {"name": name, "number": number})


@noticed
def succeeded(session: Session, name: str) -> None:
    """A submission succeeded: the account accepts again without limits of the breaker."""
    session.execute(_SUCCEED, {"name": name})


@noticed
def stop_for(session: Session, name: str, reason: Closure, seconds: float, note: str | None = None) -> None:
    """Stop the account for at least `seconds`; an existing longer stop stays."""
    session.execute(_STOP_FOR, {"name": name, "reason": reason, "seconds": seconds, "note": note})


@noticed
def stop(session: Session, name: str, reason: Closure, note: str | None = None) -> None:
    """Stop the account until a person resumes it, or until the reason no longer applies."""
    session.execute(_STOP, {"name": name, "reason": reason, "note": note})


@noticed
def resume(session: Session, name: str) -> bool:
    """Let the account accept again; False when it does not exist."""
    result = session.execute(_RESUME, {"name": name})
    return bool(result.rowcount)  # type: ignore[attr-defined]


def resume_for_budget(session: Session, name: str) -> None:
    """Resume an account that a spent budget stopped; if it is still spent, the next submission stops it again."""
    session.execute(_RESUME_FOR_BUDGET, {"name": name})


def failed(
    session: Session,
    name: str,
    reason: Closure,
    note: str,
    retry_after: float | None = None,
    sent_at: datetime | None = None,
    longest: float = PAUSE_CAP_SECONDS,
) -> None:
    """A submission failed: stop the account for as long as the provider says, or for a growing back-off.

    The back-off is at most `longest` seconds.

    A submission sent before the account stopped (`sent_at`, by default now) belongs to the failure that stopped it: a
    hundred submissions that one outage of seconds hit must not stop the account for minutes.
    """
    failures = session.execute(_FAIL, {"name": name, "sent_at": sent_at}).scalar_one()
    backoff = THROTTLE if reason is Closure.THROTTLED else OUTAGE
    seconds = min(backoff.delay(failures - 1), longest) if retry_after is None else retry_after
    stop_for(session, name, reason, seconds, note)


def hold_polls(session: Session, name: str, seconds: float) -> None:
    """Do not poll the account's provider for `seconds`; a longer wait stays."""
    session.execute(_HOLD_POLLS, {"name": name, "seconds": seconds})


def latencies(session: Session, name: str) -> Latencies:
    """The account's learned latencies."""
    document = session.execute(_LATENCY, {"name": name}).scalar_one_or_none()
    return Latencies(document)


def keep_latencies(session: Session, name: str, learned: Latencies) -> None:
    """Keep what was learned for the next slice, on whichever worker it runs."""
    session.execute(_KEEP_LATENCY, {"name": name, "document": json.dumps(learned.as_document())})
