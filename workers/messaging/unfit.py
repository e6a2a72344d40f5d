"""Servers that answer and cannot be what a setting makes of them, such as a cluster or a Sentinel.

Waiting ends none of these, and Celery takes their replies for a bug of its own. So they are refused by the setting's
name when a process starts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kombu.exceptions import OperationalError
from redis import Redis
from redis.exceptions import AskError, ClusterCrossSlotError, MovedError, RedisError, ResponseError

from workers.config.settings import SettingsError

BROKER, RESULTS = "RECAST_BROKER_URL", "RECAST_RESULT_URL"
#: Any key: it is only asked for.
_ASKED = "recast.deployment"

_CLUSTER = (
    "Redis Cluster is not supported, because Celery's queues need commands over several keys; use one Redis or Valkey"
    " server, or several behind sentinel://"
)
#: How servers say it, and what it means.
_REPLIES = (
    (r"\bcluster mode\b", _CLUSTER),
    (r"DB index is out of range|invalid DB index", "the server has no database of this number; most have 0 to 15"),
    (
        r"unknown command",
        "the server keeps no keys; if it is a Sentinel, its address begins with sentinel:// and has a master_name",
    ),
)


@contextmanager
def fit(setting: str) -> Iterator[None]:
    """Tell what a server says that cannot be what `setting` makes of it.

    Raises:
        SettingsError: names the setting, and says what is wrong.
    """
    try:
        yield
    except (MovedError, AskError, ClusterCrossSlotError):
        raise SettingsError(f"{setting}: {_CLUSTER}") from None
    except (RedisError, OperationalError) as error:
        said = str(error)
        for words, meaning in _REPLIES:
            if re.search(words, said):
                raise SettingsError(f"{setting}: {meaning}") from None
        raise


def refuse_cluster(client: Redis, setting: str) -> None:
    """Refuse a cluster that happens to have the key that was asked for on the node that was asked.

    Raises:
        SettingsError: names the setting.
    """
    try:
        about = client.info("cluster")
    except ResponseError:
        return  # a user who may not ask
    if about.get("cluster_enabled"):
        raise SettingsError(f"{setting}: {_CLUSTER}")


def check_results(app: Any) -> None:
    """Look whether results of tasks can be stored where RECAST_RESULT_URL says, if that is not the broker.

    Raises:
        SettingsError: the server is of another kind.
        redis.exceptions.RedisError: it does not answer.
    """
    client = getattr(app.backend, "client", None)
    if app.conf.result_backend == app.conf.broker_url or not isinstance(client, Redis):
        return  # the broker is looked at by itself; others are stores for tests, within one process
    with fit(RESULTS):
        client.get(_ASKED)
        refuse_cluster(client, RESULTS)
