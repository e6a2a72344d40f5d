"""Texts for times, reasons and states, shared by the command line and the web pages."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from models.states import Closure, PauseReason, Reason
from workers.counted import counted

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds

#: Why a job or an attempt ended as it did.
REASONS: Mapping[str, str] = {
    Reason.BAD_INPUT: "the picture or an option is not valid",
    Reason.WORKER_LOST: "the workers that took it ended each time before they were done with it",
    Reason.INPUT_UNAVAILABLE: "an input picture could not be read, or not reached by the provider",
    Reason.NO_FACE: "no usable face in the picture",
    Reason.CONTENT: "rejected by the provider's content rules",
    Reason.PROVIDER_ERROR: "the provider failed",
    Reason.TIMED_OUT: "no result before the deadline",
    Reason.LOST: "the result can no longer be fetched",
    Reason.AUTH: "the provider rejects the credentials",
    Reason.CREDIT: "the account at the provider is out of credit",
    Reason.THROTTLED: "the provider asked us to slow down",
    Reason.OUTAGE: "the provider cannot be reached",
    Reason.BAD_OUTPUT: "the provider's result is not a usable picture",
    Reason.UNCLEAR_SUBMIT: "it is not known whether the provider accepted the job",
    Reason.CANCELED: "canceled",
    Reason.EXPIRED: "its deadline passed before it could be sent",
    Reason.SUPERSEDED: "replaced by the schedule's next run",
    Reason.CONSENT: "the release of the person shown does not allow it",
    Reason.RESTORED: "it may have been sent after the restored backup was taken",
}

#: Why an account accepts no jobs.
CLOSURES: Mapping[str, str] = {
    Closure.THROTTLED: "provider asked to wait",
    Closure.OUTAGE: "provider, or our own web or storage, cannot be reached",
    Closure.CREDIT: "account at the provider is out of credit",
    Closure.AUTH: "provider rejects the credentials",
    Closure.BUDGET: "budget is spent",
    Closure.PAUSED: "by an operator",
}

#: Why a batch is paused.
PAUSES: Mapping[str, str] = {
    PauseReason.BUDGET: "spending limit reached",
    PauseReason.PERSON: "by an operator",
}


def duration(seconds: float) -> str:
    """Seconds in a readable form: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
    whole = round(seconds)
    if whole < MINUTE:
        return f"{whole} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    if whole < DAY:
        return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
    return f"{whole // DAY} d {whole % DAY // HOUR} h"


def moment(value: datetime | None) -> str:
    """A point in time, in UTC."""
    return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}" if value else ""


def ago(value: datetime | None, now: datetime) -> str:
    """How long ago a point in time was, in its largest unit: ``5 min ago``."""
    if value is None:
        return ""
    number, unit = duration(max(0.0, (now - value).total_seconds())).split()[:2]
    return f"{number} {unit} ago"


def why(reason: str | None, error: str | None) -> str:
    """A reason in plain words, with the provider's answer."""
    if reason is None:
        return error or "no reason was recorded"
    plain = REASONS.get(reason, reason)
    return f"{plain} ({error})" if error else plain


def stopped(reason: str | None, until: datetime | None = None, note: str | None = None) -> str:
    """The state of an account that accepts no jobs: ``stopped: provider asked to wait until 12:04 UTC``.

    Args:
        reason: why, one of `Closure`.
        until: when it accepts jobs again by itself; None where only a person can start it.
        note: what the provider answered, or what the person who stopped it wrote.
    """
    plain = CLOSURES.get(reason or "", reason or "no reason was recorded")
    return f"stopped: {plain} until {_clock(until) if until else 'it is started'}{f' ({note})' if note else ''}"


def probing(failures: int, note: str | None = None) -> str:
    """The state of an account that is tried with one job at a time: ``probing after 3 failures (busy)``."""
    return f"probing after {counted(failures, 'failure')}{f' ({note})' if note else ''}"


def paused(reason: str) -> str:
    """The state of a paused batch: ``paused: spending limit reached``; `reason` is one of `PauseReason`."""
    return f"paused: {PAUSES.get(reason, reason)}"


def waiting_for_decision(number: int) -> str:
    """How many jobs are held, and what that means: ``12 jobs are waiting for a decision (held)``."""
    return f"{counted(number, 'job', 'are')} waiting for a decision (held)"


def _clock(value: datetime) -> str:
    """A time within the next day without its date."""
    soon = abs(value - datetime.now(UTC)) < timedelta(days=1)
    return f"{value.astimezone(UTC):{'%H:%M' if soon else '%Y-%m-%d %H:%M'}} UTC"
