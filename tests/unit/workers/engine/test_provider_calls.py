"""Whatever an adapter raises is an outcome, and which one."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any, cast

import pytest
from structlog.testing import capture_logs

from providers.outcomes import Found, NotSent, NotYetKnown, Unanswered, Unclear
from providers.protocol import NotSentError, Provider, UnclearError
from providers.spec import OpenAttempt, Order
from workers.engine import provider_calls

REFERENCE = uuid.UUID(int=7)
ATTEMPT = OpenAttempt(REFERENCE, "swap", None)
ORDER = cast("Order", type("Order", (), {"reference": REFERENCE}))


class Raising:
    """An adapter whose every call ends in `error`, and whose callbacks name a handle if they have a body."""

    NAME = "raising"
    CAN_LOCATE = True

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def _raise(self, *_: Any, **__: Any) -> Any:
        raise self.error

    submit = poll = locate = _raise

    def callback_handle(self, body: bytes) -> str | None:
        return body.decode() or None


def asked(error: Exception) -> tuple[Any, Any, Any]:
    """What `submit`, `poll` and `locate` make of `error`."""
    provider = cast("Provider", Raising(error))

    async def story() -> tuple[Any, Any, Any]:
        return (
            await provider_calls.submit(provider, ORDER, write_before=0.0),
            await provider_calls.poll(provider, [ATTEMPT]),
            await provider_calls.locate(provider, ATTEMPT),
        )

    return asyncio.run(story())


@pytest.mark.parametrize(
    ("error", "submitted"), [(NotSentError("no"), NotSent("no")), (UnclearError("no"), Unclear("no"))]
)
def test_what_the_network_did_is_told_as_it_is(error: Exception, submitted: NotSent | Unclear) -> None:
    with capture_logs() as logs:
        assert asked(error) == (submitted, {REFERENCE: Unanswered("no")}, NotYetKnown("no"))
    assert logs == []


def test_an_adapters_mistake_is_an_answer_that_did_not_come() -> None:
    said = "the adapter failed: KeyError"
    with capture_logs() as logs:
        assert asked(KeyError("data")) == (Unclear(said), {REFERENCE: Unanswered(said)}, NotYetKnown(said))
    assert [(line["event"], line["provider"], line["attempts"]) for line in logs] == [
        ("adapter_failed", "raising", [str(REFERENCE)])
    ] * 3


def test_a_callback_proves_more_than_a_search() -> None:
    provider = cast("Provider", Raising(UnclearError("no")))
    assert asyncio.run(provider_calls.locate(provider, ATTEMPT, [b"", b"task-1"])) == Found("task-1")
