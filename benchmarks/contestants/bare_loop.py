"""The limit: one asyncio loop that submits, waits, polls, and inserts finished rows in groups.

No queue, nothing written before the send, nothing survives a crash: the same work with guarantees costs more. Requests
are handed straight to the transport that Recast uses; `httpx.AsyncClient` around it takes 40 per cent more CPU a job.

    python -m benchmarks.contestants.bare_loop        works until it is terminated
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import uuid
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from sqlalchemy import Engine, create_engine, func, insert

from benchmarks.contestants import (
    DATABASE_URL,
    IN_FLIGHT,
    LATENCY_SECONDS,
    POLL_SECONDS,
    PROVIDER_URL,
    SOURCE,
    TARGET,
    pictures,
)
from benchmarks.table import jobs
from providers.http import AsyncBaseTransport, Limits, Request, Timeout
from workers.http.transport import AiohttpTransport

CONNECTIONS = 64  # Recast's default for one account
HTTP_SECONDS = 300.0  # includes the wait for a connection, behind everything that is in flight
GROUP_SECONDS = 0.05  # between two inserts; longer makes no measurable difference


class Provider:
    """The stub's two calls."""

    def __init__(self, transport: AsyncBaseTransport, url: str) -> None:
        self._transport = transport
        self._url = url
        self._extensions = {"timeout": Timeout(HTTP_SECONDS).as_dict()}

    async def submit(self, job_id: str) -> str:
        """Submit a job and return its handle."""
        body = {"reference": job_id, "source": SOURCE, "target": TARGET}
        answer = await self._json(Request("POST", f"{self._url}/jobs", json=body, extensions=self._extensions))
        return str(answer["id"])

    async def poll(self, handle: str) -> str | None:
        """The result's URL, once there is one."""
        answer = await self._json(Request("GET", f"{self._url}/jobs/{handle}", extensions=self._extensions))
        return answer["url"] if answer["status"] == "done" else None

    async def fetch(self, url: str) -> bytes:
        """A finished picture."""
        return await self._call(Request("GET", url, extensions=self._extensions))

    async def _json(self, request: Request) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(await self._call(request))
        return answer

    async def _call(self, request: Request) -> bytes:
        response = await self._transport.handle_async_request(request)
        body = await response.aread()
        if response.status_code != HTTPStatus.OK:
            raise RuntimeError(f"the stub answered {response.status_code}: {body!r}")
        return body


async def make(provider: Provider, finished: list[dict[str, Any]]) -> None:
    """One job from its submission to its row."""
    job_id = str(uuid.uuid4())
    handle = await provider.submit(job_id)
    submitted_at = datetime.now(UTC)
    await asyncio.sleep(LATENCY_SECONDS)
    while (url := await provider.poll(handle)) is None:  # noqa: ASYNC110 - nothing would set an event
        await asyncio.sleep(POLL_SECONDS)
    if pictures.WANTED:
        await asyncio.to_thread(pictures.keep, job_id, await provider.fetch(url))
    finished.append({"id": job_id, "handle": handle, "submitted_at": submitted_at, "url": url})


async def write(engine: Engine, finished: list[dict[str, Any]]) -> None:
    """Insert finished jobs, in groups, for ever."""

    def insert_group(rows: list[dict[str, Any]]) -> None:
        with engine.begin() as connection:
            connection.execute(insert(jobs).values(finished_at=func.clock_timestamp()), rows)

    while True:
        await asyncio.sleep(GROUP_SECONDS)
        if finished:
            rows = finished.copy()
            finished.clear()
            await asyncio.to_thread(insert_group, rows)


async def main() -> None:
    """Make jobs until terminated."""
    finished: list[dict[str, Any]] = []
    places = asyncio.Semaphore(IN_FLIGHT)
    limits = Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    async with (
        AiohttpTransport(limits=limits) as transport,
        asyncio.TaskGroup() as tasks,
    ):
        provider = Provider(transport, os.environ[PROVIDER_URL])
        tasks.create_task(write(create_engine(os.environ[DATABASE_URL]), finished))
        while True:
            await places.acquire()
            tasks.create_task(make(provider, finished)).add_done_callback(lambda _: places.release())


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    asyncio.run(main())
