"""Dramatiq as it is meant to be used: one actor for each job, which submits and then repeats itself every second.

As `benchmarks.contestants.celery_idiomatic`: one HTTP client and one connection pool for each process, and the handle
committed before anything else can go wrong. A message that is repeated keeps its arguments, so the handle is read from
the row.
"""

from __future__ import annotations

import logging
import os
from functools import lru_cache
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend
from redis import Redis
from sqlalchemy import Engine, create_engine, func, insert, select, update

from benchmarks.contestants import BROKER_URL, DATABASE_URL, POLL_SECONDS, PROVIDER_URL, RESULTS_URL
from benchmarks.table import jobs
from providers.http import Client, Limits

HTTP_SECONDS = 30.0
CONNECTIONS = 20  # HTTP and database connections of one process: more than it has threads
POLL_MS = int(POLL_SECONDS * 1_000)

logging.disable(logging.INFO)  # Dramatiq's command has no option for it, and Celery's worker logs as little

WAITED_FOR = RESULTS_URL in os.environ
_OPTIONS: dict[str, Any] = {"max_retries": None} | ({"store_results": True} if WAITED_FOR else {})

broker = RedisBroker(url=os.environ[BROKER_URL])  # type: ignore[no-untyped-call]
if WAITED_FOR:
    # Without a time-out of its own, which would end `get_result` after five seconds.
    results = Redis.from_url(os.environ[RESULTS_URL], socket_timeout=None)
    broker.add_middleware(Results(backend=RedisBackend(client=results)))  # type: ignore[no-untyped-call]
dramatiq.set_broker(broker)


@lru_cache(maxsize=1)
def provider() -> Client:
    """This process's HTTP client."""
    limits = Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
    return Client(base_url=os.environ[PROVIDER_URL], limits=limits, timeout=HTTP_SECONDS)


@lru_cache(maxsize=1)
def database() -> Engine:
    """This process's connection pool."""
    return create_engine(os.environ[DATABASE_URL], pool_size=CONNECTIONS)


@dramatiq.actor(**_OPTIONS)
def make(job_id: str, source: str, target: str) -> str:
    """Submit a job, or look whether it is done; repeats itself until it is."""
    with database().connect() as connection:
        handle = connection.execute(select(jobs.c.handle).where(jobs.c.id == job_id)).scalar_one_or_none()
    if handle is None:
        answer = provider().post("/jobs", json={"reference": job_id, "source": source, "target": target})
        handle = answer.raise_for_status().json()["id"]
        with database().begin() as connection:
            connection.execute(insert(jobs).values(id=job_id, handle=handle, submitted_at=func.clock_timestamp()))
        raise dramatiq.errors.Retry(delay=POLL_MS)
    answer = provider().get(f"/jobs/{handle}").raise_for_status().json()
    if answer["status"] == "pending":
        raise dramatiq.errors.Retry(delay=POLL_MS)
    with database().begin() as connection:
        connection.execute(
            update(jobs).where(jobs.c.id == job_id).values(url=answer["url"], finished_at=func.clock_timestamp()),
        )
    return str(answer["url"])
