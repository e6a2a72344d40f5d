"""Every way to a broker carries messages, results and broadcasts, with nothing but what Celery does with them."""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import Connection, Exchange, Queue
from redis import Redis

from recast.names import JOBS_QUEUE
from tests.servers.programs import LOOPBACK, free_port, redis_server, wait_until_answering
from tests.servers.ways import PASSWORD, WAYS
from tests.stack import wait_for
from tests.words import names
from workers.config.settings import SettingsError, read
from workers.messaging.app import configuration
from workers.messaging.broker import UNREADABLE, repair
from workers.messaging.unfit import check_results

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
        assert broadcast(app) == "news"
        app.close()


def broadcast(app: Celery) -> Any:
    """What a subscriber hears of a broadcast."""
    heard: list[Any] = []
    exchange = Exchange("news", "fanout")
    with app.connection_for_read() as connection:
        queue = Queue("listener", exchange, auto_delete=True)

        def hears() -> bool:
            connection.Producer().publish("news", exchange=exchange)  # until it has subscribed
            with suppress(TimeoutError):
                connection.drain_events(timeout=0.2)
            return bool(heard)

        with connection.Consumer([queue], callbacks=[lambda body, _: heard.append(body)], no_ack=True):
            wait_for(hears, message="a subscriber hears a broadcast")
    return heard[0]


def take_all(app: Celery, number: int) -> Connection:
    """A connection that has taken this many producers' messages, and has yet to acknowledge them."""
    taken: list[Any] = []
    connection = app.connection_for_read()
    channel = connection.channel()
    consumer = connection.Consumer([Queue(JOBS_QUEUE)], channel=channel, callbacks=[lambda *both: taken.append(both)])
    consumer.qos(prefetch_count=20)
    consumer.consume()
    while len(taken) < number:
        connection.drain_events(timeout=20)
    return connection


def test_a_store_of_another_kind_is_refused(tmp_path: Path) -> None:
    # Without a port of its own, the bus has one 10,000 above, which may be none.
    broker, cluster, bus, watcher = (free_port() for _ in range(4))
    with (
        redis_server(tmp_path / "broker", port=broker),
        redis_server(tmp_path / "cluster", "cluster-enabled yes", f"cluster-port {bus}", port=cluster),
        redis_server(tmp_path / "watcher", port=watcher, sentinel=True),
    ):
        for port in (broker, cluster, watcher):
            wait_until_answering(Redis(LOOPBACK, port))
        with Redis(LOOPBACK, cluster) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
            wait_for(lambda: client.cluster("INFO")["cluster_state"] == "ok", message="the cluster is ready")
        others = {
            f"{broker}/99": "number",
            f"{cluster}/0": "Cluster",
            f"{cluster}/1": "Cluster",
            f"{watcher}/0": "Sentinel",
        }
        for place, told in others.items():
            results = {"RECAST_RESULT_URL": f"redis://{LOOPBACK}:{place}"}
            app = app_of({"RECAST_BROKER_URL": f"redis://{LOOPBACK}:{broker}/0", **results})
            with pytest.raises(SettingsError, match=names("RECAST_RESULT_URL", told)):
                check_results(app)
            app.close()


def test_a_prefix_is_before_every_key(tmp_path: Path) -> None:
    repair()
    port = free_port()
    with redis_server(tmp_path, f"requirepass {PASSWORD}", port=port):
        wait_until_answering(Redis(LOOPBACK, port, password=PASSWORD))
        url = f"redis://:{PASSWORD}@{LOOPBACK}:{port}/0"
        app = app_of({"RECAST_BROKER_URL": url, "RECAST_RESULT_URL": url, "RECAST_KEY_PREFIX": "shop:"})
        app.send_task("sweep")
        for _ in range(3):
            app.send_task("recast.swap", queue=JOBS_QUEUE)
        connection = take_all(app, 3)
        app.backend.store_result("one", {}, "SUCCESS")
        with Redis(LOOPBACK, port, password=PASSWORD) as client:
            keys = client.keys()
            assert client.hlen("shop:unacked") == 3
        connection.close()
        app.close()
    assert keys
    assert all(key.startswith(b"shop:") for key in keys)
