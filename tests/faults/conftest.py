"""Servers that all cells of a test process share; each cell has a database of its own in them, and an empty broker."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from pathlib import Path

import pytest
from redis import Redis
from sqlalchemy import create_engine, make_url, text

from devstack.servers import Servers
from sandbox import Sandbox, SandboxConfig
from tests.stack import Stack

Deploy = Callable[[SandboxConfig], AbstractContextManager[Stack]]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers as in production: Valkey, too, has after a kill what it had before."""
    with Servers(tmp_path_factory.mktemp("servers"), durable=True) as started:
        yield started


@pytest.fixture
def deploy(servers: Servers, tmp_path: Path) -> Deploy:
    """Makes a deployment without workers, on the shared servers."""
    numbers = count()

    @contextmanager
    def make(config: SandboxConfig) -> Iterator[Stack]:
        _revive(servers)
        url = _fresh_database(servers, f"{tmp_path.name}_{next(numbers)}")
        # Not fetched: the sandbox's cheap pictures are made without looking at what was sent.
        settings = {"RECAST_DATABASE_URL": url, "RECAST_PUBLIC_URL": "http://127.0.0.1:9"}
        with Sandbox(config) as sandbox:
            stack = Stack(tmp_path, servers, sandbox, **settings)
            try:
                yield stack
            finally:
                stack.close()

    return make


def _revive(servers: Servers) -> None:
    """Bring back what a failed cell may have left dead, and forget its messages."""
    if servers.pids.postgres is None:
        servers.restart_postgres()
    if servers.pids.valkey is None:
        servers.restart_valkey()
    with Redis.from_url(servers.urls.broker) as broker:
        broker.flushall()


def _fresh_database(servers: Servers, name: str) -> str:
    engine = create_engine(servers.urls.database, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f'CREATE DATABASE "{name}"'))
    engine.dispose()
    return make_url(servers.urls.database).set(database=name).render_as_string(hide_password=False)
