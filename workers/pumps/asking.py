"""Asking a provider: whatever an adapter raises becomes the outcome that the protocol has for it.

A mistake in an adapter counts as an answer that did not come: it may have happened after the bytes went out.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import structlog

from providers.base import (
    Found,
    LocateOutcome,
    NotSent,
    NotSentError,
    NotYetKnown,
    OpenAttempt,
    Order,
    PollOutcome,
    Provider,
    SubmitOutcome,
    Unanswered,
    Unclear,
    UnclearError,
)

log = structlog.get_logger()


async def submit(provider: Provider, order: Order, *, write_before: float) -> SubmitOutcome:
    """Send one paid submission."""
    try:
        return await provider.submit(order, write_before=write_before)
    except NotSentError as error:
        return NotSent(str(error))
    except Exception as error:  # noqa: BLE001 - it is logged, and the attempt lives on
        return Unclear(_silence(provider, error))


async def poll(provider: Provider, attempts: Sequence[OpenAttempt]) -> dict[uuid.UUID, PollOutcome]:
    """Ask how attempts stand; those left out of the answer are pending."""
    try:
        return dict(await provider.poll(attempts))
    except Exception as error:  # noqa: BLE001 - it is logged, and the attempt lives on
        nothing = Unanswered(_silence(provider, error))
        return dict.fromkeys([attempt.reference for attempt in attempts], nothing)


async def locate(provider: Provider, attempt: OpenAttempt, bodies: Sequence[bytes] = ()) -> LocateOutcome:
    """Search for a submission whose answer was lost: in the bodies of its callbacks, then at the provider."""
    try:
        # Only a job that was taken is called back about, and not every API can be searched.
        handle = next((handle for body in bodies if (handle := provider.callback_handle(body))), None)
        if handle is not None:
            return Found(handle)
        if not provider.CAN_LOCATE:
            return NotYetKnown("the provider's API cannot tell")
        return await provider.locate(attempt)
    except Exception as error:  # noqa: BLE001 - it is logged, and the attempt lives on
        return NotYetKnown(_silence(provider, error))


def _silence(provider: Provider, error: Exception) -> str:
    if isinstance(error, NotSentError | UnclearError):
        return str(error)
    log.error("adapter_failed", provider=provider.NAME, exc_info=error)
    return f"the adapter failed: {type(error).__name__}"
