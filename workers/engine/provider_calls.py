"""Calls of adapters: every exception of an adapter becomes the outcome that the protocol has for it.

A mistake in an adapter counts as an answer that did not come: it may have happened after the bytes went out. Only a
request that cannot be built is known not to have been sent.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog

from providers.http import InvalidURL
from providers.outcomes import (
    Found,
    LocateOutcome,
    NotSent,
    NotYetKnown,
    PollOutcome,
    SubmitOutcome,
    Unanswered,
    Unclear,
)
from providers.protocol import NotSentError, Provider, UnclearError
from providers.spec import OpenAttempt, Order
from workers.http.exchange import Submission, submission

T = TypeVar("T")

UNBUILT = "the request could not be built; check the account's base_url and credentials"

log = structlog.get_logger()


async def submit(provider: Provider, order: Order, *, write_before: float) -> SubmitOutcome:
    """Send one paid submission."""
    begun = Submission()
    submission.set(begun)  # each call is a task, whose context ends with it

    async def sent() -> SubmitOutcome:
        try:
            return await provider.submit(order, write_before=write_before)
        except NotSentError as error:
            return NotSent(str(error))
        except (ValueError, InvalidURL) as error:
            if begun.handed_over:
                raise
            return NotSent(f"{UNBUILT}: {type(error).__name__}")

    return await _answer(sent(), Unclear, provider, [order.reference])


async def poll(provider: Provider, attempts: Sequence[OpenAttempt]) -> dict[uuid.UUID, PollOutcome]:
    """Poll attempts; those left out of the answer are pending."""
    references = [attempt.reference for attempt in attempts]

    async def asked() -> dict[uuid.UUID, PollOutcome]:
        return dict(await provider.poll(attempts))

    def unanswered(message: str) -> dict[uuid.UUID, PollOutcome]:
        return dict.fromkeys(references, Unanswered(message))

    return await _answer(asked(), unanswered, provider, references)


async def look_up(provider: Provider, attempt: OpenAttempt) -> PollOutcome:
    """Ask about one attempt whose answer the inbox may have lost."""
    return await _answer(provider.look_up(attempt), Unanswered, provider, [attempt.reference])


async def locate(provider: Provider, attempt: OpenAttempt, bodies: Sequence[bytes] = ()) -> LocateOutcome:
    """Search for a submission whose answer was lost: in the bodies of its callbacks, then at the provider."""

    async def sought() -> LocateOutcome:
        # Only a job that was taken is called back about, and not every API can be searched.
        handle = next((handle for body in bodies if (handle := provider.callback_handle(body))), None)
        if handle is not None:
            return Found(handle)
        if not provider.CAN_LOCATE:
            return NotYetKnown("the provider's API has no search for it", asked=False)
        return await provider.locate(attempt)

    return await _answer(sought(), NotYetKnown, provider, [attempt.reference])


async def _answer(
    answer: Awaitable[T], silence: Callable[[str], T], provider: Provider, references: Sequence[uuid.UUID]
) -> T:
    """What was answered, or `silence` with the reason why nothing was."""
    try:
        return await answer
    except (NotSentError, UnclearError) as error:
        return silence(str(error))
    except Exception as error:
        log.exception("adapter_failed", provider=provider.NAME, attempts=[str(reference) for reference in references])
        return silence(f"the adapter failed: {type(error).__name__}")
