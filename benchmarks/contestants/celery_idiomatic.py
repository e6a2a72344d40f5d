"""Idiomatic Celery: one task for each job, which submits and then retries itself until the provider is done.

It is what a good engineer writes for production: JSON, late acknowledgement, no results that nobody reads, one HTTP
client and one connection pool for each process, and the handle committed before anything else can go wrong. Nobody
says how long the provider takes, so it looks every second.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import Any

from celery import Celery
from sqlalchemy import Engine, create_engine, func, insert, update

from benchmarks.contestants import (
    BROKER_URL,
    DATABASE_URL,
    POLL_SECONDS,
    PROVIDER_URL,
    RESULTS_URL,
    pictures,
)
from benchmarks.table import jobs
from providers.http import Client, Limits

HTTP_SECONDS = 30.0
WAITED_FOR = RESULTS_URL in os.environ
CONNECTIONS = 20  # HTTP and database connections of one process: one for each slot of the threads pool

app = Celery("idiomatic", set_as_current=False)
app.add_defaults(
    lambda: {
        "broker_url": os.environ[BROKER_URL],
        "result_backend": os.environ.get(RESULTS_URL),
        "broker_connection_retry_on_startup": True,
        # The default of 10 is less than the threads that publish retries and acknowledge at the same time.
        "broker_transport_options": {"max_connections": 2 * CONNECTIONS},
        "broker_pool_limit": CONNECTIONS,
        "task_serializer": "json",
        "accept_content": ["json"],
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_ignore_result": not WAITED_FOR,
        # What Flower watches; Recast's worker sends them too.
        "worker_send_task_events": True,
        # Tasks take milliseconds: a few at hand for each slot keep the slots from waiting for the broker.
        "worker_prefetch_multiplier": 4,
        "timezone": "UTC",
    }
)


@lru_cache(maxsize=1)
def provider() -> Client:
    """This process's HTTP client, made after the fork."""
    limits = Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return Client(base_url=os.environ[PROVIDER_URL], limits=limits, timeout=HTTP_SECONDS)


@lru_cache(maxsize=1)
def database() -> Engine:
    """This process's connection pool, made after the fork."""
    return create_engine(os.environ[DATABASE_URL], pool_size=CONNECTIONS)


@app.task(bind=True, name="make", max_retries=None)
def make(self: Any, job_id: str, source: str, target: str, handle: str | None = None) -> str:
    """Submit a job, or look whether it is done; retries itself until it is."""
    if handle is None:
        answer = provider().post("/jobs", json={"reference": job_id, "source": source, "target": target})
        handle = answer.raise_for_status().json()["id"]
        with database().begin() as connection:
            connection.execute(
                insert(jobs).values(id=job_id, handle=handle, submitted_at=func.clock_timestamp()),
            )
        raise self.retry(args=(job_id, source, target, handle), countdown=POLL_SECONDS)
    answer = provider().get(f"/jobs/{handle}").raise_for_status().json()
    if answer["status"] == "pending":
        raise self.retry(countdown=POLL_SECONDS)
    if pictures.WANTED:
        pictures.keep(job_id, provider().get(answer["url"]).raise_for_status().content)
    with database().begin() as connection:
        connection.execute(
            update(jobs).where(jobs.c.id == job_id).values(url=answer["url"], finished_at=func.clock_timestamp()),
        )
    return str(answer["url"])
