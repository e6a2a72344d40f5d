"""Callbacks: what a provider posts to the address in a submission, with the provider's own repetitions.

Due callbacks wait in a bounded queue for a few background senders; if the queue is full, a callback is dropped, as at
an overloaded provider. A restart loses repetitions, and the callbacks of jobs whose results were ready before it; the
address and the planned fault are stored with the job.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from providers.http import AsyncClient, HTTPError, InvalidURL
from sandbox.faults import Call, Faults
from sandbox.jobs import Job, Jobs
from sandbox.stats import Stats
from sandbox.transport import trusted

SENDERS = 16  # callbacks sent at the same time: enough that one slow receiver does not delay the others
QUEUE = 10_000  # callbacks that are due but not being sent: some seconds' worth of a load test

START = "start"  # the event that comes before the job's end
COMPLETED = "completed"  # the job's end, which alone is repeated until it is taken


@dataclass(frozen=True, slots=True)
class CallbackRequest:
    """A submission's request for callbacks: the address and the events."""

    url: str
    events: tuple[str, ...] = (COMPLETED,)


@dataclass(frozen=True, slots=True)
class Notice:
    """One callback as it is sent; `body` is JSON."""

    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CallbackStyle:
    """How one provider calls back."""

    #: Given a job, an event and whether to forge it.
    write: Callable[[Job, str, bool], Notice]
    #: Whether an answer, by its status and body, counts as taken.
    taken: Callable[[int, bytes], bool]
    #: Seconds before each repetition.
    delays: tuple[float, ...]
    #: Seconds until an answer must be there.
    timeout: float


@dataclass(frozen=True, slots=True)
class _Due:
    job: int
    event: str
    forged: bool = False
    repeated: int = 0


class Callbacks:
    """The callbacks of all providers."""

    def __init__(self, jobs: Jobs, faults: Faults, stats: Stats, scale: float) -> None:
        self.manners: dict[str, CallbackStyle] = {}
        self._jobs = jobs
        self._faults = faults
        self._stats = stats
        self._scale = scale
        self._queue: asyncio.Queue[_Due] = asyncio.Queue(QUEUE)
        self._http = AsyncClient(timeout=None, trust_env=False, verify=trusted())  # each is timed as a whole
        self._senders: list[asyncio.Task[None]] = []

    def open(self) -> None:
        """Start sending."""
        self._senders = [asyncio.create_task(self._send_on()) for _ in range(SENDERS)]

    async def close(self) -> None:
        """Stop sending."""
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        await self._http.aclose()

    def note(self, call: Call, wanted: CallbackRequest) -> dict[str, Any]:
        """Return what is kept with a job that wants a callback, having drawn the fault that will happen to it."""
        rule = self._faults.draw(replace(call, kind="callback"))
        if rule is not None:
            self._stats.fault(rule.fault)
        return asdict(wanted) | {"fault": rule and rule.fault, "seconds": rule.seconds if rule else 0.0}

    def accepted(self, job: Job) -> None:
        """Send what comes before the end of a job that was accepted just now."""
        wanted = job.notes.get("callback")
        if wanted is None:
            return
        if wanted["fault"] == "callback_forged":
            self._later(0, _Due(job.id, COMPLETED, forged=True))
        if START in wanted["events"] and wanted["fault"] != "callback_dropped":
            self._later(0, _Due(job.id, START))

    def ended(self, job: Job) -> None:
        """Send, once its result can be had, that a job has ended."""
        wanted = job.notes.get("callback")
        if wanted is None or wanted["fault"] == "callback_dropped":
            return
        wait = max(0.0, job.ready_at - time.time())
        if wanted["fault"] == "callback_late":
            wait += wanted["seconds"]
        events = [event for event in wanted["events"] if event != START]
        for event in events * 2 if wanted["fault"] == "callback_duplicated" else events:
            self._later(wait, _Due(job.id, event))

    def _later(self, seconds: float, due: _Due) -> None:
        asyncio.get_running_loop().call_later(seconds, self._put, due)

    def _put(self, due: _Due) -> None:
        try:
            self._queue.put_nowait(due)
        except asyncio.QueueFull:
            self._stats.callback("overflowed")

    async def _send_on(self) -> None:
        while True:
            due = await self._queue.get()
            job = self._jobs.get(due.job)
            if job is None:
                continue
            early = job.ready_at - time.time()
            if early > 0 and due.event != START and not due.forged:
                self._later(early, due)  # timers follow another clock than jobs do, and may be ahead of it
            else:
                await self._send(job, due)

    async def _send(self, job: Job, due: _Due) -> None:
        """Send one callback once, and see to its repetition where it was not taken."""
        manner = self.manners[job.provider]
        notice = manner.write(job, due.event, due.forged)
        self._stats.request(Call(job.provider, "callback", job.operation, job.account, job.reference or ""), None)
        headers = {"Content-Type": "application/json", **notice.headers}
        try:
            async with asyncio.timeout(manner.timeout):
                answer = await self._http.post(job.notes["callback"]["url"], content=notice.body, headers=headers)
            taken = manner.taken(answer.status_code, answer.content)
        except (HTTPError, InvalidURL, TimeoutError):
            taken = False
        final = due.event == COMPLETED and not due.forged
        if not taken and final and due.repeated < len(manner.delays):
            self._later(manner.delays[due.repeated] * self._scale, replace(due, repeated=due.repeated + 1))
        else:
            self._stats.callback("taken" if taken else "given_up")
