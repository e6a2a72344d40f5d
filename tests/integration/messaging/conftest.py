"""A broker for the tests of this folder, and a worker's channel to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from kombu import Connection
from redis import Redis

from devstack.servers import Servers
from tests.integration.messaging.channels import Transport


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Servers(tmp_path_factory.mktemp("servers"), durable=False) as servers:
        yield servers.urls.broker


@pytest.fixture
def redis(url: str) -> Iterator[Redis]:
    with Redis.from_url(url) as made:
        made.flushdb()
        yield made
        made.config_set("maxmemory", 0)


@pytest.fixture
def channel(url: str) -> Iterator[Any]:
    """A worker's channel, beside every other connection of this process."""
    with Connection(url, transport=Transport) as connection:
        yield connection.channel()
