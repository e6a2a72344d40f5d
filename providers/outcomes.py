"""Outcomes: what a provider answered to a submission, a poll or a search, as closed sets of types.

`workers.engine.outcomes` has what each of them changes in our tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.states import Reason

#: What a provider means that throttles without a word.
ASKED_FOR_LESS = "the provider asked for fewer requests"


@dataclass(frozen=True, slots=True)
class Output:
    """One file that the provider made: its URL and facts."""

    url: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the job, and will bill it."""

    handle: str
    raw: bytes = b""
    #: The provider's names of the pictures that it makes, where it gives them: a result is whole when all have ended.
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """The result is there. At submission it also means that the provider took the job."""

    outputs: tuple[Output, ...]
    raw: bytes = b""
    facts: Mapping[str, Any] = field(default_factory=dict)
    handle: str | None = None
    #: What `Provider.acknowledge` is given once this outcome is committed.
    receipts: tuple[str, ...] = ()
    #: How many pictures the provider made or tried to make, where it says so.
    made: int | None = None
    #: What is missing of the result, in plain words.
    missing: str | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider did not take the job and will not bill it; `message` in plain words for a person."""

    reason: Reason
    message: str
    raw: bytes = b""
    #: What was said, without what differs from job to job, where nobody knows what it means; "" where it is known.
    unknown: str = ""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not now: nothing was taken. `retry_after` in seconds, where the provider said so."""

    retry_after: float | None = None
    message: str = ASKED_FOR_LESS
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request provably never arrived."""

    message: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """The answer does not show whether the provider accepted the job."""

    message: str
    raw: bytes = b""
    #: Whether a wrong key is answered in just this way: several of them, and no success yet, mean that it is wrong.
    as_of_a_wrong_key: bool = False


@dataclass(frozen=True, slots=True)
class Pending:
    """Not finished yet."""

    raw: bytes = b""
    #: Seconds after which the better half of a result should be there, where the other half was seen.
    look_in: float | None = None


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider accepted the job and could not do it; `again` says whether a new attempt may help."""

    reason: Reason
    message: str
    again: bool = False
    raw: bytes = b""
    #: What `Provider.acknowledge` is given once this outcome is committed.
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The question got no usable answer (network, 5xx, 429): ask again later. Says nothing of the job."""

    message: str
    retry_after: float | None = None
    raw: bytes = b""
    #: Whether the provider wants fewer requests of any kind.
    throttled: bool = False
    #: Whether it was the provider that answered, about this job: it would say the same again.
    answered: bool = False


#: `Failed` at submission: the provider took the job, and said at once that it could not do it.
SubmitOutcome = Accepted | Done | Refused | Throttled | NotSent | Unclear | Failed
PollOutcome = Pending | Done | Failed | Unanswered


@dataclass(frozen=True, slots=True)
class Found:
    """The provider has it, under this handle; the next poll reports its state."""

    handle: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider says that it has no such job. Counts only when repeated after the deadline of the submission."""


@dataclass(frozen=True, slots=True)
class NotYetKnown:
    """The question got no usable answer, or cannot be answered yet."""

    message: str
    retry_after: float | None = None
    #: As of `Unanswered`.
    throttled: bool = False
    #: Whether the provider was asked: not where it has no search for it.
    asked: bool = True


LocateOutcome = Found | Absent | NotYetKnown


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a check of the credentials found, without spending."""

    ok: bool | None
    message: str
