"""The protocol between the engine and the adapters of providers.

An adapter turns an `Order` into HTTP requests and the answers into one of a closed set of outcomes. It knows the wire
format and nothing of jobs, money, retries or the database. The exceptions it may let through:

    Exception
    +-- NotSentError        provably not received by the provider
    |   +-- UnreachableError    there is no such host, or nothing listens there
    +-- UnclearError        bytes were sent and no complete answer came
    +-- UploadError         the provider did not take a picture (only from `Provider.upload`)
    +-- CredentialsError    the account's credentials are missing or of the wrong form (at start, never during a call)

The engine turns `NotSentError` into `NotSent` and `UnclearError` into `Unclear`, so an adapter catches neither.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import ClassVar, Protocol

from pydantic import BaseModel

from providers.http import Request
from providers.outcomes import Credentials, LocateOutcome, PollOutcome, Refused, SubmitOutcome, Throttled, Unclear
from providers.sessions import MemorySessions, Sessions
from providers.spec import Choice, OpenAttempt, Operation, Order

MAX_ANSWER_BYTES = 4 * 1024 * 1024  # the longest honest answer is a few KiB; more is not read


class _CallError(Exception):
    """A request without an answer.

    Args:
        message: for a person.
        cause: the same without a word on what was received, for requests that cost nothing.
    """

    def __init__(self, message: str, cause: str | None = None) -> None:
        super().__init__(message)
        self.cause = cause or message


class NotSentError(_CallError):
    """The request provably never reached the provider: refused connection, DNS, TLS, or too late to be written."""


class UnreachableError(NotSentError):
    """There is no such host, or nothing listens at its address: not a fault of the moment."""


class UnclearError(_CallError):
    """The request was, or may have been, written, and no complete answer came."""


class CredentialsError(Exception):
    """An account's credentials cannot be used; the message names the account, the field and what to set."""


class UploadError(Exception):
    """A picture was not taken.

    Args:
        outcome: what the provider answered, as the outcome of a submission; an unclear upload may simply be repeated,
            because uploads cost nothing.
        retry_after: for how many seconds the provider wants no other request, where it said so.
    """

    def __init__(self, outcome: Refused | Throttled | Unclear, retry_after: float | None = None) -> None:
        super().__init__(outcome, retry_after)
        self.outcome = outcome
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete HTTP answer; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def ok(self) -> bool:
        """Whether the status is one of success."""
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES


class Http(Protocol):
    """Sends one request, once: no retries, no redirects, no cookies."""

    async def send(
        self,
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of what is asked: it runs from the hand-over, not from the call
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Send `request`; its bytes are written before `write_before` (boot-time clock, seconds) or not at all.

        Raises:
            NotSentError: nothing was received by the other side.
            UnclearError: no complete answer within `timeout` seconds or `max_bytes`.
        """
        ...


# --- What is asked -----------------------------------------------------------------------------------------------


# --- What comes back ---------------------------------------------------------------------------------------------


class Provider(Protocol):
    """One provider's wire format, bound to one account.

    `submit` is called at most once for each commit of an attempt; its request's bytes must go out through
    ``http.send(..., write_before=write_before)``. No method keeps state that matters: a worker may die at any instant.
    """

    NAME: ClassVar[str]
    #: The provider's public address, or None where it publishes none and the account must name it.
    BASE_URL: ClassVar[str | None]
    OPERATIONS: ClassVar[Mapping[str, Operation]]
    #: Secrets and switches an account of this provider has, checked when the accounts file is read.
    SETTINGS: ClassVar[type[BaseModel]]
    #: How many attempts one poll asks for; 1 means a call for each.
    POLL_MANY: ClassVar[int]
    #: Whether a lost submission can be found again.
    CAN_LOCATE: ClassVar[bool]
    #: Whether the reference alone is enough for that, with nothing written down before the send.
    LOCATES_BY_REFERENCE: ClassVar[bool]

    async def upload(self, role: str, order: Order, data: bytes) -> str:
        """Put one picture at the provider and return its handle (for needs met by `Via.UPLOAD`).

        Raises:
            UploadError: the provider did not take it, or did not say so.
        """
        ...

    def locator(self, order: Order) -> str | None:
        """What to write down before the send so that `locate` can work without an answer."""
        ...

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Send one paid submission."""
        ...

    async def poll(self, attempts: Sequence[OpenAttempt]) -> Mapping[uuid.UUID, PollOutcome]:
        """Poll up to `POLL_MANY` attempts; an attempt left out of the answer is pending."""
        ...

    @property
    def look_up_after(self) -> float:
        """Seconds since acceptance from which `look_up` may know more than `poll`; infinite where it never does."""
        ...

    async def look_up(self, attempt: OpenAttempt) -> PollOutcome:
        """Ask about one attempt by itself, where `poll` reads an inbox that may have lost its answer."""
        ...

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """Tell the provider that these events are not needed any more; only after their outcomes are committed."""
        ...

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        """Find out whether the provider took a submission whose answer was lost."""
        ...

    def verify_callback(self, headers: Mapping[str, str], body: bytes, *, now: float) -> bool | None:
        """Whether a callback is really the provider's: by its signature and age, at `now` in Unix seconds.

        `headers` have lower-case names. None where the provider signs nothing, or the account has no key to check with.
        """
        ...

    def callback_handle(self, body: bytes) -> str | None:
        """The provider's handle in a callback's body, which proves that the provider took the job; None without one."""
        ...

    async def choices(self) -> Sequence[Choice]:
        """The values of an operation's `listed` option; costs nothing.

        Raises:
            UnclearError: the provider did not list them.
        """
        ...

    async def check(self) -> Credentials:
        """Prove the credentials without spending, as far as the API allows."""
        ...


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What an adapter is built with: where the provider is, how to reach it, the account's own settings."""

    account: str
    base_url: str
    http: Http
    settings: BaseModel
    #: Seconds for one submission, from the first byte written to the last byte read.
    submit_timeout: float = 30.0
    poll_timeout: float = 20.0
    #: Where the tokens lie that the provider gives for a while; in memory unless the workers share them.
    sessions: Sessions = field(default_factory=MemorySessions)
