"""What the engine and a provider's adapter say to each other.

An adapter turns an `Order` into HTTP requests and the answers into one of a closed set of outcomes. It knows the wire
format and nothing of jobs, money, retries or the database. The exceptions it may let through:

    Exception
    +-- NotSentError        provably not received by the provider
    +-- UnclearError        bytes were sent and no complete answer came
    +-- UploadError         the provider did not take a picture (only from `Provider.upload`)
    +-- CredentialsError    the account's credentials are missing or of the wrong form (at start, never during a call)

The engine turns `NotSentError` into `NotSent` and `UnclearError` into `Unclear`, so an adapter catches neither.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Any, ClassVar, Literal, Protocol

import httpx
from pydantic import BaseModel, ConfigDict

from models.states import Reason
from providers.sessions import MemorySessions, Sessions

MAX_ANSWER_BYTES = 4 * 1024 * 1024  # the longest honest answer is a few KiB; more is not read


class NotSentError(Exception):
    """The request provably never reached the provider: refused connection, DNS, TLS, or too late to be written."""


class UnclearError(Exception):
    """The request was, or may have been, written, and no complete answer came."""


class CredentialsError(Exception):
    """An account's credentials cannot be used; the message names the account, the field and what to set."""


class UploadError(Exception):
    """A picture was not taken; the one argument is what the provider answered, as the outcome of a submission."""

    @property
    def outcome(self) -> Refused | Throttled | Unclear:
        """Why; an unclear upload may simply be repeated, because uploads cost nothing."""
        found: Refused | Throttled | Unclear = self.args[0]
        return found


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
        request: httpx.Request,
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


class Via(StrEnum):
    """How a provider takes a picture."""

    URL = "url"
    BYTES = "bytes"
    UPLOAD = "upload"


#: The types of pictures that we take ourselves.
PICTURE_TYPES = ("image/jpeg", "image/png", "image/webp")


@dataclass(frozen=True, slots=True)
class Need:
    """One picture an operation needs: in which way, and whether one upload may serve many jobs."""

    via: Via
    shared: bool = True
    #: Exact width:height the provider insists on, and its longest side in pixels.
    ratio: tuple[int, int] | None = None
    max_side: int | None = None
    #: What the provider is known to read; a picture of another type that passes through our hands becomes the first.
    media_types: tuple[str, ...] = PICTURE_TYPES
    #: The option that names the picture, for a role without a column of its own; such a picture may be left out.
    option: str | None = None

    @property
    def exact(self) -> bool:
        """Whether the provider insists on a shape, so that a picture must be looked at before it is passed on."""
        return self.ratio is not None or self.max_side is not None


class Options(BaseModel):
    """Base of every operation's options: unknown names and wrong types are errors that name the field."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Fit(StrEnum):
    """What becomes of a picture whose shape a provider does not take."""

    REJECT = "reject"
    CROP = "crop"
    PAD = "pad"


class FittedOptions(Options):
    """Base of the options of operations that insist on a picture's shape; `fit` is for us and is never sent."""

    fit: Fit = Fit.REJECT


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a provider does, written ``provider.operation``."""

    name: str
    kind: Literal["swap", "generate"]
    options: type[Options]
    needs: Mapping[str, Need]
    prompt: Literal["required", "optional", "unused"] = "unused"
    #: False where the outcome is data and not a picture.
    pictures: bool = True
    #: Seconds until a first result usually appears, until the account has learned better.
    typical_seconds: float = 10.0
    #: Whether the submission may carry our callback URL.
    callback: bool = False
    #: How many pictures the options ask for (prices may be per picture).
    count: str | None = None
    summary: str = ""

    def pictures_for(self, options: Mapping[str, Any]) -> int:
        """How many pictures a job with `options` asks for."""
        return int(options.get(self.count, 1) or 1) if self.count else 1

    def option_pictures(self, options: Mapping[str, Any]) -> dict[str, str]:
        """The input pictures that checked `options` name, by role."""
        named = ((role, options.get(need.option)) for role, need in self.needs.items() if need.option)
        return {role: uri for role, uri in named if uri}


@dataclass(frozen=True, slots=True)
class Input:
    """A prepared picture: the one of `url`, `data` and `handle` that the operation's `Need` asks for is set.

    Digest, type and size in pixels are known for pictures that we hold, not for a public URL that is passed on.
    """

    sha256: str = ""
    media_type: str = ""
    width: int = 0
    height: int = 0
    url: str | None = None
    data: bytes | None = None
    handle: str | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One submission: what an adapter needs to write the request."""

    reference: uuid.UUID
    operation: str
    options: Options
    inputs: Mapping[str, Input]
    prompt: str | None = None
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class OpenAttempt:
    """An attempt the provider may know of: what poll and locate work with."""

    reference: uuid.UUID
    operation: str
    handle: str | None
    locator: str | None = None
    #: Seconds since the provider took it, or since it was sent where that is not known.
    age: float = 0.0


# --- What comes back ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """One file the provider made: where it lies, and what was said of it."""

    url: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider took the job, and will bill it."""

    handle: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Done:
    """The result is there. At submission it also means that the provider took the job."""

    outputs: tuple[Output, ...]
    raw: bytes = b""
    facts: Mapping[str, Any] = field(default_factory=dict)
    handle: str | None = None
    #: What `Provider.acknowledge` is given once this outcome is committed.
    receipts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Refused:
    """The provider did not take the job and will not bill it; `message` in plain words for a person."""

    reason: Reason
    message: str
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Throttled:
    """Not now: nothing was taken. `retry_after` in seconds, where the provider said so."""

    retry_after: float | None = None
    message: str = "the provider asked us to slow down"
    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class NotSent:
    """The request provably never arrived."""

    message: str


@dataclass(frozen=True, slots=True)
class Unclear:
    """Whether the provider took the job cannot be told from what came back."""

    message: str
    raw: bytes = b""


SubmitOutcome = Accepted | Done | Refused | Throttled | NotSent | Unclear


@dataclass(frozen=True, slots=True)
class Pending:
    """Not finished yet."""

    raw: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider took the job and could not do it; `again` tells whether a new attempt may help."""

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


PollOutcome = Pending | Done | Failed | Unanswered


@dataclass(frozen=True, slots=True)
class Found:
    """The provider has it, under this handle; how it stands is the next poll's business."""

    handle: str


@dataclass(frozen=True, slots=True)
class Absent:
    """The provider says that it has no such job. Counts only when repeated after the deadline of the submission."""


@dataclass(frozen=True, slots=True)
class NotYetKnown:
    """The question got no usable answer, or cannot be answered yet."""

    message: str


LocateOutcome = Found | Absent | NotYetKnown


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a check of the credentials found, without spending."""

    ok: bool | None
    message: str


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
        """Ask how up to `POLL_MANY` attempts stand; an attempt left out of the answer is pending."""
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
