"""DBOS as it is meant to be used: a durable workflow for each job, from a queue, whose steps PostgreSQL records.

A worker that is killed goes on behind the last step that was recorded. Steps are as few as they can be: one submits,
one looks every second until the provider is done, one writes the row. A step for each look, or a durable sleep between
two, would be a row more each time. The workflows of a process share an event loop and the HTTP client of the bare loop.

    python -m benchmarks.contestants.dbos_idiomatic        works until it is terminated
"""

from __future__ import annotations

import asyncio
import os
import signal
import uuid
from datetime import UTC, datetime
from functools import lru_cache

from dbos import DBOS
from sqlalchemy import Engine, create_engine, func
from sqlalchemy.dialects.postgresql import insert

from benchmarks.contestants import DATABASE_URL, POLL_SECONDS, PROVIDER_URL
from benchmarks.contestants.bare_loop import CONNECTIONS, Provider
from benchmarks.table import jobs
from providers.http import Limits
from workers.http.transport import AiohttpTransport

NAME, QUEUE, WORKFLOW = "benchmark", "jobs", "make"
#: Workflows of one process at a time: for 200 jobs/s, by Little's law.
AT_ONCE = 1_000


@lru_cache(maxsize=1)
def provider() -> Provider:
    """This process's HTTP client, made on the event loop that uses it."""
    limits = Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return Provider(AiohttpTransport(limits=limits), os.environ[PROVIDER_URL])


@lru_cache(maxsize=1)
def database() -> Engine:
    """This process's connection pool for the rows of jobs; DBOS has one of its own."""
    return create_engine(os.environ[DATABASE_URL])


@DBOS.step()
async def submit(job_id: str) -> tuple[str, str]:
    """Submit a job; its handle, and when that was."""
    return await provider().submit(job_id), datetime.now(UTC).isoformat()


@DBOS.step()
async def result(handle: str) -> str:
    """The result's URL, as soon as there is one."""
    await asyncio.sleep(POLL_SECONDS)
    while (url := await provider().poll(handle)) is None:  # noqa: ASYNC110 - nothing would set an event
        await asyncio.sleep(POLL_SECONDS)
    return url


@DBOS.step()
async def write(job_id: str, handle: str, submitted_at: str, url: str) -> None:
    """Insert the finished row, once."""
    values = {"id": job_id, "handle": handle, "submitted_at": datetime.fromisoformat(submitted_at), "url": url}

    def insert_row() -> None:
        with database().begin() as connection:
            connection.execute(
                insert(jobs).values(**values, finished_at=func.clock_timestamp()).on_conflict_do_nothing()
            )

    await asyncio.to_thread(insert_row)


@DBOS.workflow(name=WORKFLOW)
async def make(job_id: str) -> None:
    """One job from its submission to its row."""
    handle, submitted_at = await submit(job_id)
    await write(job_id, handle, submitted_at, await result(handle))


def main() -> None:
    """Take workflows from the queue until terminated; several processes share it."""
    database_url = os.environ[DATABASE_URL]
    DBOS(config={
        "name": NAME, "system_database_url": database_url, "executor_id": uuid.uuid4().hex, "log_level": "WARNING",
    })  # fmt: skip
    DBOS.launch()
    DBOS.register_queue(QUEUE, worker_concurrency=AT_ONCE)
    signal.pause()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    main()
