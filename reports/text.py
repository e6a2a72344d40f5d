"""Times and reasons in plain words, for the command line and the web pages alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from models.states import Reason

MINUTE, HOUR, DAY = 60, 3_600, 86_400  # seconds

#: Reasons in words that say what to do about them where that is known.
REASONS: Mapping[str, str] = {
    Reason.BAD_INPUT: "the picture or an option is not accepted",
    Reason.NO_FACE: "no usable face in the picture",
    Reason.CONTENT: "refused by the provider's content rules",
    Reason.PROVIDER_ERROR: "the provider failed",
    Reason.TIMED_OUT: "no result before the deadline",
    Reason.LOST: "the result could not be fetched any more",
    Reason.BUDGET: "the budget is spent",
    Reason.AUTH: "the provider refuses the credentials",
    Reason.CREDIT: "the account at the provider is out of credit",
    Reason.THROTTLED: "the provider asked us to slow down",
    Reason.OUTAGE: "the provider cannot be reached",
    Reason.BAD_OUTPUT: "the provider's result is no usable picture",
    Reason.UNCLEAR_SUBMIT: "whether the provider took the job is not known",
    Reason.CANCELED: "canceled",
    Reason.EXPIRED: "its time had run out before it could be sent",
    Reason.NO_ACCOUNT: "no account can take it",
    Reason.PAUSED: "paused",
    Reason.SUPERSEDED: "the schedule's next run took over",
    Reason.RESTORED: "it may have been sent after the backup that was restored",
}


def duration(seconds: float) -> str:
    """Seconds as people say them: ``8 s``, ``3 min 20 s``, ``2 h 5 min``."""
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


def why(reason: str | None, error: str | None) -> str:
    """A reason in plain words, with what the provider said."""
    if reason is None:
        return error or "no reason was recorded"
    plain = REASONS.get(reason, reason)
    return f"{plain} ({error})" if error else plain
