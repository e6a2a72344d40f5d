"""The faults that `make money` tries: each kind of the sandbox, in every form of it that could cost money. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

CHANCE = 0.3  # that a call meets one of a case's faults: enough for some jobs to meet several, and for most to succeed
SLOW_SECONDS = 4.0  # longer than the time-out of a submission here, so that its answer is lost

_STAGES = ("before", "after")
_LASTING = {
    "times": 2,
    "probability": 1.0,
    "where": {"call": "submit"},
}  # it stops the account until a person starts it

#: The rules that are in force during each case, by the kind of fault.
CASES: Mapping[str, Sequence[Mapping[str, Any]]] = {
    "none": (),
    "latency": [{"stage": stage, "seconds": SLOW_SECONDS, "where": {"call": "submit"}} for stage in _STAGES],
    "throttle": [{"retry_after": 1.0}, {"retry_after": 1.0, "retry_after_form": "http-date"}],
    "error5xx": [{"stage": stage, "status": status} for stage in _STAGES for status in (500, 502, 503, 504)],
    "accept_then_hang": [{"probability": 0.1}],
    "reset": [{"stage": stage} for stage in _STAGES],
    "malformed": [{}],
    "lost": [{"probability": 0.1}],
    "late": [{"seconds": seconds} for seconds in (5.0, 40.0)],
    "fail": [{"error": error} for error in ("no_face", "unreadable", "content", "internal")],
    "withhold": [{"pictures": 1}],
    "expired_url": [{"status": status} for status in (403, 404, 410)],
    "damaged": [{"damage": damage} for damage in ("half", "empty", "html", "noise")],
    "out_of_credit": [_LASTING],
    "auth": [_LASTING],
    "callback_dropped": [{"probability": 0.6}],
    "callback_late": [{"seconds": 3.0}],
    "callback_duplicated": [{"probability": 0.6}],
    "callback_forged": [{"probability": 0.6}],
}


def rules(case: str) -> list[dict[str, Any]]:
    """The sandbox's rules of `case`, which share the chance that a call meets one of them."""
    forms = CASES[case]
    return [
        {"fault": case, "probability": CHANCE / len(forms), "seed": number, **form} for number, form in enumerate(forms)
    ]
