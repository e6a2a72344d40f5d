"""Shared parts of the adapters: the meaning of HTTP statuses, Retry-After, and defaults.

An adapter first decides by the body. Only where the body decides nothing it asks here what the status alone proves.
"""

from __future__ import annotations

import math
import uuid
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import ClassVar, Final, TypeVar

from pydantic import BaseModel

from models.states import ACCOUNT_REASONS, REJECTING_REASONS, Reason
from providers.classify import BEFORE_ANY_WORK, GENERAL, Table, classify
from providers.http import Request
from providers.outcomes import (
    ASKED_FOR_LESS,
    Failed,
    LocateOutcome,
    NotYetKnown,
    Pending,
    PollOutcome,
    Refused,
    Throttled,
    Unanswered,
    Unclear,
)
from providers.plain_words import normalized
from providers.protocol import CredentialsError, Endpoint, Reply
from providers.spec import Choice, OpenAttempt, Order

MAX_KIND_CHARS: Final = 200  # of an unknown kind of refusal: longer ones differ at their ends, by the job
MAX_RETRY_AFTER_SECONDS: Final = 24 * 3600.0  # a longer wait is a mistake of theirs, or for a person to judge

#: These decide whatever the body says: no provider answers a job that it took with one of them.
DECIDING: Final = frozenset(
    {HTTPStatus.UNAUTHORIZED, HTTPStatus.PAYMENT_REQUIRED, HTTPStatus.FORBIDDEN, HTTPStatus.TOO_MANY_REQUESTS}
)
BAD_CREDENTIALS: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_MOVED: Final = frozenset({HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.PERMANENT_REDIRECT})
_REFUSALS: Final = frozenset(range(400, 500)) - {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT}

S = TypeVar("S", bound=BaseModel)


# --- Retry-After -------------------------------------------------------------------------------------------------


def retry_after(reply: Reply) -> float | None:
    """The Retry-After header in seconds, from either of its forms (RFC 9110, 10.2.3); None without a usable one.

    A date counts from the answer's own Date, so that a provider's clock may be wrong.
    """
    value = reply.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        until = _http_date(value)
        if until is None:
            return None
        now = _http_date(reply.headers.get("date", "")) or datetime.now(UTC)
        seconds = (until - now).total_seconds()
    if not math.isfinite(seconds):
        return None
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_SECONDS)


def _http_date(value: str) -> datetime | None:
    try:
        found = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# --- What an answer proves ---------------------------------------------------------------------------------------


def submit_verdict(
    reply: Reply, why: str = "", said: Sequence[str | None] = (), table: Table = GENERAL
) -> Refused | Throttled | Unclear:
    """What the status of a submission's answer proves, where its body is none of the provider's own forms.

    Only answers that by their meaning were given instead of taking the job are refusals. 5xx, 408 and any success may
    follow on an acceptance; 302 and 303 are how some servers answer a POST that they carried out, and 409 may say that
    an earlier send of the same submission had arrived.

    Args:
        reply: the answer.
        why: what it was, for people.
        said: the provider's own words in it.
        table: what is known of the provider.
    """
    status, detail = reply.status, f" ({why})" if why else ""
    if status in _MOVED:
        message = f"the provider redirected the request (HTTP {status}): check the account's base_url"
        return Refused(Reason.PROVIDER_ERROR, message, reply.body, message)
    if status not in _REFUSALS:
        return Unclear(f"HTTP {status} does not show whether the provider accepted the job{detail}", reply.body)
    reason = classify(*said, table=table, status=status)
    if reason is Reason.THROTTLED:
        words = ": ".join(text for text in said if text) or ASKED_FOR_LESS
        return Throttled(retry_after(reply), words, reply.body)
    if reason is None or reason is Reason.OUTAGE:
        message = f"the provider answered HTTP {status}{detail}: check the account's base_url and paths"
        return Refused(Reason.PROVIDER_ERROR, message, reply.body, _kind(status, said))
    said_by_status = _SAYINGS.get(reason, "the provider refused the request")
    return Refused(reason, f"{said_by_status} (HTTP {status}){detail}", reply.body)


_SAYINGS: Final[Mapping[Reason, str]] = {
    Reason.AUTH: "the provider refused the credentials",
    Reason.CREDIT: "the account has no credit left",
}


#: What is asked about is refused or gone; other errors come from a gateway, or mean the key or the number of requests.
_ABOUT_ITS_SUBJECT: Final = frozenset(
    {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE, HTTPStatus.UNPROCESSABLE_ENTITY}
)


def poll_verdict(reply: Reply, why: str = "") -> Unanswered:
    """A poll that got no usable answer: whatever the status is, it says nothing of the job."""
    detail = f" ({why})" if why else ""
    throttled = reply.status == HTTPStatus.TOO_MANY_REQUESTS or classify(why) is Reason.THROTTLED
    message = f"the provider answered HTTP {reply.status}{detail}"
    about_it = reply.status in _ABOUT_ITS_SUBJECT and not throttled
    return Unanswered(message, retry_after(reply), reply.body, throttled, about_it)


def locate_verdict(reply: Reply, why: str = "") -> NotYetKnown:
    """A search that got no usable answer."""
    found = poll_verdict(reply, why)
    return NotYetKnown(found.message, found.retry_after, found.throttled)


def refusal(
    reply: Reply,
    message: str,
    said: Sequence[str | None],
    table: Table,
    *,
    code: str | None = None,
    name: str | None = None,
    status: int | None = None,
) -> Refused | Throttled | Unclear:
    """What a submission's answer proves that says no in the provider's own form.

    A 5xx, and words for a service that broke, may come after the job was taken: they are unclear, unless the table or
    the reason proves that nothing was made. What is not known is a refusal of this job alone.

    Args:
        reply: the answer.
        message: what it says, for people.
        said: the provider's own words in it.
        table: what is known of the provider.
        code: the error's code.
        name: the error's name.
        status: the status that counts, where the body has one of its own.
    """
    status = reply.status if status is None else status
    reason = classify(*said, table=table, code=code, name=name, status=status)
    proven = (name or "").lower() in table.nothing_made or reason in BEFORE_ANY_WORK
    broke = status >= HTTPStatus.INTERNAL_SERVER_ERROR or reason is Reason.OUTAGE
    if broke and not proven:
        return Unclear(f"HTTP {reply.status} does not show whether the job was accepted ({message})", reply.body)
    if reason is Reason.THROTTLED:
        return Throttled(retry_after(reply), message, reply.body)
    if reason is None:
        return Refused(Reason.PROVIDER_ERROR, message, reply.body, _kind(code or status, said))
    return Refused(reason, message, reply.body)


def failure(
    message: str,
    said: Sequence[str | None],
    table: Table,
    raw: bytes = b"",
    receipts: tuple[str, ...] = (),
    *,
    code: str | None = None,
    name: str | None = None,
) -> Failed:
    """How a job that the provider took has ended: by the picture's fault, or by one that may pass."""
    reason = classify(*said, table=table, code=code, name=name)
    if reason in REJECTING_REASONS | ACCOUNT_REASONS:
        return Failed(reason or Reason.PROVIDER_ERROR, message, raw=raw, receipts=receipts)
    return Failed(Reason.PROVIDER_ERROR, message, True, raw, receipts)


def _kind(code: object, said: Sequence[str | None]) -> str:
    """What two refusals of one unknown kind have in common."""
    return f"{code} {normalized(' '.join(text for text in said if text))}".strip()[:MAX_KIND_CHARS]


# --- Defaults ----------------------------------------------------------------------------------------------------


def settings_of(endpoint: Endpoint, kind: type[S]) -> S:
    """The account's own settings, as the adapter's type.

    Raises:
        CredentialsError: they are settings of another provider.
    """
    if not isinstance(endpoint.settings, kind):
        raise CredentialsError(
            f"accounts.{endpoint.account}: its settings are {type(endpoint.settings).__name__}, not {kind.__name__}"
        )
    return endpoint.settings


class Adapter:
    """What most providers have in common: no uploads, no inbox, no search for lost submissions."""

    POLL_MANY: ClassVar[int] = 1
    CAN_LOCATE: ClassVar[bool] = False
    LOCATES_BY_REFERENCE: ClassVar[bool] = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    async def upload(self, role: str, order: Order, data: bytes) -> str:
        """No need of this provider is met by an upload."""
        del data
        raise NotImplementedError(f"{order.operation} does not upload its {role}")

    def locator(self, order: Order) -> str | None:
        """Nothing beyond the reference is needed to find a submission."""
        del order
        return None

    async def locate(self, attempt: OpenAttempt) -> LocateOutcome:
        """Nothing can be asked about a submission whose handle is not known."""
        return NotYetKnown(f"{attempt.operation} has no search for submissions", asked=False)

    @property
    def look_up_after(self) -> float:
        """A poll says all there is."""
        return math.inf

    async def look_up(self, attempt: OpenAttempt) -> PollOutcome:
        """Nothing can be asked beyond a poll."""
        del attempt
        return Pending()

    async def acknowledge(self, receipts: Sequence[str]) -> None:
        """No inbox is kept for us."""
        del receipts

    def verify_callback(self, headers: Mapping[str, str], body: bytes, *, now: float) -> bool | None:
        """Nothing is signed: a callback is a hint, and the poll that follows it is what counts."""
        del headers, body, now
        return None

    def callback_handle(self, body: bytes) -> str | None:
        """Nothing in a callback names the job."""
        del body
        return None

    async def choices(self) -> Sequence[Choice]:
        """No option has values that are listed."""
        return ()

    async def ask(self, request: Request) -> Reply:
        """Send a request that costs nothing."""
        return await self.endpoint.http.send(request, timeout=self.endpoint.poll_timeout)

    async def pay(self, request: Request, write_before: float) -> Reply:
        """Send a request that the provider bills."""
        return await self.endpoint.http.send(request, timeout=self.endpoint.submit_timeout, write_before=write_before)


class OneByOne(Adapter, ABC):
    """A provider that is asked for each attempt by itself."""

    async def poll(self, attempts: Sequence[OpenAttempt]) -> Mapping[uuid.UUID, PollOutcome]:
        """Poll each of `attempts`."""
        return {attempt.reference: await self.poll_one(attempt) for attempt in attempts}

    @abstractmethod
    async def poll_one(self, attempt: OpenAttempt) -> PollOutcome:
        """Poll one attempt."""
