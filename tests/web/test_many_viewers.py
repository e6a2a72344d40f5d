"""Fifty people look at pages that change every second: what this costs the web process, in CPU."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from benchmarks.processes import cpu_seconds
from desk import people
from desk.actors import Actor
from devstack.ports import bind
from models.people import Role
from models.transactions import Database as Connections
from tests.integration.desk.pictures import give
from tests.web.shop import settings
from web.sign_ins import COOKIE

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.long

VIEWERS, BATCHES, PICTURES = 50, 5, 40
SECONDS = 20.0  # that are measured
MOST_CORES = 0.5
PASSWORD = "correct horse battery"


class Viewer:
    """A browser at a batch's page: listens, and asks for the page again when it hears of something."""

    def __init__(self, client: aiohttp.ClientSession, base: str, batch: int, cookie: str) -> None:
        self._client, self._page = client, f"{base}/batches/{batch}"
        self._headers = {"Cookie": f"{COOKIE}={cookie}"}
        self._changed = asyncio.Event()
        self.fetched = 0

    async def look(self) -> None:
        """Look at it for as long as the test lasts."""
        async with self._client.get(f"{self._page}/live", headers=self._headers) as stream:
            assert stream.status == 200, await stream.text()
            again = asyncio.create_task(self._again())
            try:
                async for line in stream.content:
                    if line.startswith(b"event: changed"):
                        self._changed.set()
            finally:
                again.cancel()

    async def _again(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            async with self._client.get(self._page, headers={**self._headers, "X-Recast-Again": "1"}) as answer:
                assert b'data-part="summary"' in await answer.read()
            self.fetched += 1
            await asyncio.sleep(1.0)


def test_fifty_viewers_cost_less_than_half_a_core(database: Database, tmp_path: Path) -> None:
    chosen = settings(database, tmp_path, web_auth=None)
    batches = [database.batch(f"spring {number}") for number in range(BATCHES)]
    for batch in batches:
        for job in database.jobs(PICTURES, batch=batch, state="succeeded"):
            give(database, job)
    for number in range(VIEWERS):
        database.run(people.add, Actor("root", Role.OPERATOR, "command"), f"P{number}", Role.REVIEWER, PASSWORD)
    with closing(Connections(database.url)) as connections:
        cookies = [str(people.sign_in(connections, f"P{number}", PASSWORD)) for number in range(VIEWERS)]
    listener = bind(None)
    listener.listen()
    environment = os.environ | {
        "RECAST_DATABASE_URL": str(chosen.database_url), "RECAST_BROKER_URL": "redis://127.0.0.1:1/0",
        "RECAST_STORAGE_URL": str(chosen.storage_url), "RECAST_HOME": str(tmp_path),
        "RECAST_SECRET_KEY": "a-key-of-the-tests", "RECAST_ACCOUNTS_FILE": str(chosen.accounts_file),
    }  # fmt: skip
    command = [sys.executable, "-m", "web", "--fd", str(listener.fileno()), "--loglevel", "warning"]
    with listener, subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()]) as web:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            cores, fetched = asyncio.run(_measured(database, web, base, batches, cookies))
        finally:
            web.terminate()
    print(json.dumps({"viewers": VIEWERS, "cores": round(cores, 3), "pages_per_second": round(fetched, 1)}))  # noqa: T201
    assert fetched >= VIEWERS / 4, "they were kept up to date"
    assert cores < MOST_CORES


async def _measured(
    database: Database, web: subprocess.Popen[bytes], base: str, batches: list[int], cookies: list[str]
) -> tuple[float, float]:
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout(sock_read=30)
    ) as client:
        async with client.get(f"{base}/healthz") as answer:
            assert answer.status == 200
        viewers = [
            Viewer(client, base, batches[number % BATCHES], cookie) for number, cookie in enumerate(cookies)
        ]  # fmt: skip
        looking = [asyncio.create_task(viewer.look()) for viewer in viewers]
        await asyncio.sleep(3)  # until all of them listen
        began, before = time.monotonic(), cpu_seconds(web.pid)[0]
        seen = sum(viewer.fetched for viewer in viewers)
        while time.monotonic() - began < SECONDS:
            database.sql("UPDATE batches SET queued = queued + 1, counted_at = NULL WHERE id > 0")
            await asyncio.sleep(0.5)
        seconds, spent = time.monotonic() - began, cpu_seconds(web.pid)[0] - before
        fetched = sum(viewer.fetched for viewer in viewers) - seen
        for task in looking:
            assert not task.done() or not task.exception(), task
            task.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*looking)
    return spent / seconds, fetched / seconds
