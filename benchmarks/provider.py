"""Recast's adapter for the stub: `bench.make`, whose outcome is a row, and a picture where the contestants make any."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

import providers
from benchmarks.contestants import DOCUMENTED_SECONDS, PICTURES
from providers.http import Request
from providers.outcomes import Accepted, Credentials, Done, Output, Pending, PollOutcome, SubmitOutcome
from providers.protocol import Reply
from providers.replies import OneByOne, poll_verdict, submit_verdict
from providers.spec import Need, OpenAttempt, Operation, Options, Order, Via

OPERATION = "bench.make"


class BenchSettings(BaseModel):
    """The stub has no credentials."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class BenchOptions(Options):
    """The stub has no options."""


class Bench(OneByOne):
    """The stub's wire format, bound to one account."""

    NAME: ClassVar[str] = "bench"
    BASE_URL: ClassVar[str | None] = None
    OPERATIONS: ClassVar[Mapping[str, Operation]] = {
        OPERATION: Operation(
            name=OPERATION,
            kind="swap",
            options=BenchOptions,
            needs={"source": Need(Via.URL), "target": Need(Via.URL)},
            pictures=PICTURES in os.environ,
            typical_seconds=DOCUMENTED_SECONDS,
            summary="makes nothing, after a delay",
        )
    }
    SETTINGS: ClassVar[type[BaseModel]] = BenchSettings

    async def submit(self, order: Order, *, write_before: float) -> SubmitOutcome:
        """Send one job, with the attempt's reference."""
        body = {
            "reference": str(order.reference),
            "source": order.inputs["source"].url,
            "target": order.inputs["target"].url,
        }
        request = Request("POST", f"{self.endpoint.base_url}/jobs", json=body)
        reply = await self.pay(request, write_before)
        answer = _read(reply)
        handle = answer.get("id")
        return Accepted(handle, reply.body) if isinstance(handle, str) else submit_verdict(reply, "no id")

    async def poll_one(self, attempt: OpenAttempt) -> PollOutcome:
        """Poll a job by its handle."""
        reply = await self.ask(Request("GET", f"{self.endpoint.base_url}/jobs/{attempt.handle}"))
        answer = _read(reply)
        if answer.get("status") == "done":
            made = (Output(answer["url"]),) if self.OPERATIONS[OPERATION].pictures else ()
            return Done(made, reply.body, facts={"url": answer["url"]})
        return Pending(reply.body) if answer.get("status") == "pending" else poll_verdict(reply, "no status")

    async def check(self) -> Credentials:
        """There are no credentials to check."""
        return Credentials(ok=True, message="the stub accepts every account")


def _read(reply: Reply) -> dict[str, Any]:
    """A good answer's JSON; any other answer says nothing."""
    answer = json.loads(reply.body) if reply.status == HTTPStatus.OK else {}
    return answer if isinstance(answer, dict) else {}


def register() -> None:
    """Make the stub a provider of this process; before `workers` is imported, which keeps the registry it finds."""
    providers.PROVIDERS = MappingProxyType({**providers.PROVIDERS, Bench.NAME: Bench})
