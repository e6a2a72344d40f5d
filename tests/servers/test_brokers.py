"""Every way to a broker carries messages, results and broadcasts, with nothing but what Celery does with them."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest
from celery import Celery
from redis import Redis

from tests.servers.programs import LOOPBACK, free_port, redis_server, wait_until_answering
from tests.servers.ways import PASSWORD, WAYS
from workers.config.settings import read
from workers.messaging.app import configuration
from workers.messaging.broker import UNREADABLE, repair

pytestmark = [
    pytest.mark.servers,
    # Celery's result store calls what redis-py 8 deprecates.
    pytest.mark.filterwarnings("ignore:Call to deprecated:DeprecationWarning"),
]

#: Tests themselves may only use TCP, so the socket is left to the processes of `test_servers`.
BROKERS = [name for name in WAYS if name not in {"transaction", "session", "socket"}]


def app_of(settings: dict[str, str]) -> Celery:
    values = {name.removeprefix("RECAST_").lower(): value for name, value in settings.items()}
    made = Celery("here", set_as_current=False)
    made.conf.update(configuration(read(database_url="postgresql://unused", **values)))
    return made


@pytest.mark.parametrize("name", BROKERS)
def test_a_broker_carries_messages_and_results(name: str, tmp_path: Path) -> None:
    repair()
    with WAYS[name](tmp_path, "") as settings:
        app = app_of(dict(settings))
        task_id = str(uuid.uuid4())
        app.send_task("sweep", task_id=task_id)
        with app.connection_for_read() as connection:
            channel = connection.channel()
            queue = connection.SimpleQueue("beat", channel=channel)
            message = queue.get(timeout=20)
            assert message.headers["id"] == task_id
            assert channel.client.hlen("unacked") == 1
            message.ack()
            assert channel.client.hlen("unacked") == 0
            channel.client.set("recast.deployment", "ours", nx=True)
            assert channel.client.get("recast.deployment") == b"ours"
            channel.set_aside(b"not a message")
            assert channel.client.llen(UNREADABLE) == 1
            queue.close()
        app.backend.store_result(task_id, {"done": True}, "SUCCESS")
        assert app.AsyncResult(task_id).get(timeout=20, disable_sync_subtasks=False) == {"done": True}
        assert app.control.ping(timeout=0.2) == []
        app.close()


def test_a_prefix_is_before_every_key(tmp_path: Path) -> None:
    repair()
    port = free_port()
    with redis_server(tmp_path, f"requirepass {PASSWORD}", port=port):
        wait_until_answering(Redis(LOOPBACK, port, password=PASSWORD))
        url = f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"
        app = app_of({"RECAST_BROKER_URL": url, "RECAST_RESULT_URL": url, "RECAST_KEY_PREFIX": "shop:"})
        app.send_task("sweep")
        app.backend.store_result("one", {}, "SUCCESS")
        app.close()
        with Redis(LOOPBACK, port, password=PASSWORD) as client:
            keys = client.keys()
    assert keys
    assert all(key.startswith(b"shop:") for key in keys)
