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
from tests.http import Request, Response, mock_client
from workers.engine import provider_calls
from workers.http.client import HttpClient
from workers.http.exchange import clock

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


class Building:
    """An adapter that builds a request of `header` and `url`, after it has sent another one if `paid` says so."""

    NAME = "building"

    def __init__(self, http: HttpClient, header: str, url: str, *, paid: bool) -> None:
        self.http, self.header, self.url, self.paid = http, header, url, paid

    async def submit(self, order: Order, *, write_before: float) -> Any:
        del order
        if self.paid:
            await self.http.send(Request("POST", "https://a.example"), timeout=5, write_before=write_before)
        request = Request("POST", self.url, headers={"Authorization": self.header})
        await self.http.send(request, timeout=5, write_before=write_before)
        return Unclear("an answer")


UNBUILDABLE = {
    "a curly quote": ("tok\u201d", "https://a.example"),
    "a zero-width sign": ("tok\u200b", "https://a.example"),
    "a half character": ("tok\ud800", "https://a.example"),
    "a port": ("tok", "https://a.example:99999"),
    "a port that is not a number": ("tok", "https://a.example:8o"),
    "a line end in the address": ("tok", "https://a.exam\nple"),
    "a blank in the host": ("tok", "https://a exam.ple"),
}


@pytest.mark.parametrize(("header", "url"), UNBUILDABLE.values(), ids=UNBUILDABLE)
@pytest.mark.parametrize("paid", [False, True])
def test_a_request_that_cannot_be_built_is_not_sent(header: str, url: str, paid: bool) -> None:
    http = mock_client(lambda _: Response(401))
    provider = cast("Provider", Building(http, header, url, paid=paid))
    with capture_logs():
        outcome = asyncio.run(provider_calls.submit(provider, ORDER, write_before=clock() + 5))
    # Where an earlier request of the same submission went out, a mistake proves nothing; the guard's refusal does.
    assert isinstance(outcome, NotSent | Unclear if paid else NotSent)
    assert header not in str(outcome)


def test_a_callback_proves_more_than_a_search() -> None:
    provider = cast("Provider", Raising(UnclearError("no")))
    assert asyncio.run(provider_calls.locate(provider, ATTEMPT, [b"", b"task-1"])) == Found("task-1")
