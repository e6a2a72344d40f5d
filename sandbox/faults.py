"""Faults on request: rules that make the sandbox misbehave as real providers and networks do.

A rule is added by `POST /_sandbox/faults`, with the token of `control.json`, and lives in memory: a restarted sandbox
behaves well again. Of the rules that match a request, may be applied again and win their draw, the one added first is
applied, and no other.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from email.utils import formatdate
from fnmatch import fnmatchcase
from time import time
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

#: What a request is: "token" asks for one, "upload" brings a picture, "callback" is the sandbox's own.
CallKind = Literal["submit", "poll", "file", "token", "upload", "callback"]

Kind = Literal[
    "latency",  # the answer comes `seconds` late: the wait is before or after acceptance
    "throttle",  # HTTP 429 with Retry-After, nothing taken
    "error5xx",  # a gateway's HTML page with `status` (502), before or after acceptance; Retry-After if it is given
    "accept_then_hang",  # accepted and billed, and never an answer
    "reset",  # the TCP connection is reset, before or after acceptance
    "malformed",  # the first half of the answer, or of the file
    "lost",  # accepted and billed, and then unknown to the provider
    "late",  # accepted, and the result comes `seconds` later than it would
    "fail",  # accepted, and fails with `error`
    "withhold",  # accepted, and `pictures` of its pictures fall to the content filter
    "expired_url",  # the file's address is dead: `status` (404)
    "damaged",  # the file is answered with HTTP 200 and `damage`
    "out_of_credit",  # refused in the provider's own way
    "auth",  # refused as with wrong credentials
    "callback_dropped",  # no callback comes
    "callback_late",  # the callback comes `seconds` late
    "callback_duplicated",  # the callback comes twice, taken or not
    "callback_forged",  # before the true one comes another's, at once, that claims a success and shows a wrong picture
]

#: The only kind of call a fault can happen to, where there is only one.
ONLY: dict[str, CallKind] = {
    "accept_then_hang": "submit",
    "lost": "submit",
    "late": "submit",
    "fail": "submit",
    "withhold": "submit",
    "out_of_credit": "submit",
    "expired_url": "file",
    "damaged": "file",
    "callback_dropped": "callback",
    "callback_late": "callback",
    "callback_duplicated": "callback",
    "callback_forged": "callback",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One request to a provider, as far as it is understood before it is served.

    `reference` is the client's own reference of a submission, or the handle a poll asks for; "" where there is none.
    """

    provider: str
    kind: CallKind
    operation: str
    account: str
    reference: str


class Where(BaseModel):
    """Which calls a rule is for; what is left out matches all. All but `call` are shell patterns."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    provider: str = "*"
    call: CallKind | None = None
    operation: str = "*"
    account: str = "*"
    reference: str = "*"

    def matches(self, call: Call) -> bool:
        """Return whether the rule is for `call`."""
        return (
            self.call in (None, call.kind)
            and fnmatchcase(call.provider, self.provider)
            and fnmatchcase(call.operation, self.operation)
            and fnmatchcase(call.account, self.account)
            and fnmatchcase(call.reference, self.reference)
        )


class Rule(BaseModel):
    """One fault: what happens, where, how often and with what chance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Kind
    where: Where = Where()
    times: int | None = Field(default=None, ge=1)
    probability: float = Field(default=1.0, ge=0, le=1)
    seed: int = 0

    stage: Literal["before", "after"] = "after"
    seconds: float = Field(default=1.0, ge=0)
    status: int | None = Field(default=None, ge=400, le=599)
    retry_after: float = Field(default=1.0, ge=0)
    retry_after_form: Literal["seconds", "http-date"] = "seconds"
    error: Literal["no_face", "unreadable", "content", "internal"] = "internal"
    #: How a failed job is reported, for providers with two forms: see the provider's module.
    form: Literal["status", "code", "http-200", "http-500", "canceled"] | None = None
    pictures: int = Field(default=1, ge=1)
    #: What comes in place of a file: its first half, nothing, a gateway's web page, or bytes that are not a picture.
    damage: Literal["half", "empty", "html", "noise"] = "half"

    def retry_after_header(self) -> str:
        """Return Retry-After in the form asked for (RFC 9110, 10.2.3): whole seconds, or a date."""
        if self.retry_after_form == "http-date":
            return formatdate(time() + self.retry_after, usegmt=True)
        return str(round(self.retry_after))


@dataclass(slots=True)
class _Armed:
    """A rule with how often it was applied and its own generator, so that rules do not disturb each other's draws."""

    rule: Rule
    fired: int = 0
    generator: random.Random = field(default_factory=random.Random)

    def draw(self, call: Call) -> bool:
        rule = self.rule
        # Nothing but its own faults happens to a callback: the others are what an answer can suffer.
        if ONLY.get(rule.fault, None if call.kind == "callback" else call.kind) != call.kind:
            return False
        if not rule.where.matches(call):
            return False
        if rule.times is not None and self.fired >= rule.times:
            return False
        if rule.probability < 1 and self.generator.random() >= rule.probability:
            return False
        self.fired += 1
        return True


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._armed: list[_Armed] = []

    def add(self, rule: Rule) -> None:
        """Put `rule` behind those in force."""
        self._armed.append(_Armed(rule, generator=random.Random(rule.seed)))  # noqa: S311 (repeatable, not secret)

    def clear(self) -> None:
        """Drop all rules."""
        self._armed.clear()

    def draw(self, call: Call) -> Rule | None:
        """Return the rule to apply to `call`, if any, and count it as fired."""
        return next((armed.rule for armed in self._armed if armed.draw(call)), None)

    def describe(self) -> list[dict[str, Any]]:
        """Return the rules with how often each has fired."""
        return [armed.rule.model_dump() | {"fired": armed.fired} for armed in self._armed]
