"""An `Http` that answers from a script, and what the adapters' tests are told about each provider."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from providers import PROVIDERS
from providers.protocol import MAX_ANSWER_BYTES, Endpoint, Provider, Reply
from providers.sessions import MemorySessions
from providers.spec import Input, OpenAttempt, Order
from tests.http import Request

RECORDINGS = Path(__file__).parent / "recordings"
REFERENCE = uuid.UUID("5f0c8a52-6f0e-5b6c-9d3c-2f6a6a7d9b11")
PICTURE = b"\xff\xd8\xff\xe0 a picture's bytes"
WRITE_BEFORE = 1_000.5
#: Stands in every secret, so that one test can look for all of them.
SECRET = "s3cr3t"

T = TypeVar("T")
Answerer = Callable[[Request], Reply]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that never has to wait, as with a scripted `Http`."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    coroutine.close()
    raise AssertionError("the adapter waited for something that is not its Http")


class ScriptedHttp:
    """Answers every request by `answer` and remembers it."""

    def __init__(self, answer: Answerer) -> None:
        self._answer = answer
        self.requests: list[Request] = []
        self.deadlines: list[float | None] = []
        self.timeouts: list[float] = []

    async def send(
        self,
        request: Request,
        *,
        timeout: float,  # noqa: ASYNC109 - part of what is asked: it runs from the hand-over, not from the call
        write_before: float | None = None,
        max_bytes: int = MAX_ANSWER_BYTES,
    ) -> Reply:
        """Answer at once."""
        self.requests.append(request)
        self.deadlines.append(write_before)
        self.timeouts.append(timeout)
        reply = self._answer(request)
        assert len(reply.body) <= max_bytes
        return reply


def in_turn(replies: Iterable[Reply]) -> Answerer:
    """Answer the first request with the first of `replies` and so on."""
    rest = iter(replies)
    return lambda _request: next(rest)


def always(reply: Reply) -> Answerer:
    """Answer everything with `reply`."""
    return lambda _request: reply


def raises(error: Exception) -> Answerer:
    """Answer nothing."""

    def answer(_request: Request) -> Reply:
        raise error

    return answer


def reply(status: int = 200, body: object = b"", **headers: str) -> Reply:
    """An answer whose body is bytes as they are, or JSON made from anything else."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(status, {name.replace("_", "-"): value for name, value in headers.items()}, raw)


@dataclass(frozen=True)
class Case:
    """One operation of one provider with everything a test needs to call it."""

    operation: str
    settings: Mapping[str, Any]
    base_url: str
    options: Mapping[str, Any] = field(default_factory=dict)
    prompt: str | None = None
    inputs: Mapping[str, Input] = field(default_factory=dict)
    handle: str | None = None
    locator: str | None = None
    #: A session that was saved earlier, for providers that have one.
    session: bytes | None = None

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.operation.partition(".")[0]

    @property
    def adapter(self) -> type[Provider]:
        """The adapter under test."""
        return PROVIDERS[self.provider]

    def build(self, http: ScriptedHttp, *, sessions: MemorySessions | None = None, **settings: Any) -> Provider:
        """The adapter, bound to an account whose every request goes to `http`."""
        endpoint = Endpoint(
            account="main",
            base_url=self.base_url,
            http=http,
            settings=self.adapter.SETTINGS.model_validate({**self.settings, **settings}),
            sessions=sessions or MemorySessions(self.session),
        )
        return self.adapter(endpoint)  # type: ignore[call-arg]

    def order(self, *, prompt: str | None = None, callback_url: str | None = None, **options: Any) -> Order:
        """A submission with the case's inputs."""
        model = self.adapter.OPERATIONS[self.operation].options
        return Order(
            reference=REFERENCE,
            operation=self.operation,
            options=model.model_validate({**self.options, **options}),
            inputs=self.inputs,
            prompt=prompt or self.prompt,
            callback_url=callback_url,
        )

    def attempt(self, *, reference: uuid.UUID = REFERENCE, age: float = 0.0) -> OpenAttempt:
        """An attempt that the provider took."""
        return OpenAttempt(reference, self.operation, self.handle, self.locator, age)
