"""The broker's own settings: whether it keeps what it is given when it is full, and when it restarts.

A Redis that evicts keys throws away whole queues: with ``allkeys-lru`` and a full memory, most messages are lost
without an error anywhere. Rows are continued by the sweep; producers' messages and results are gone.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis import Redis
from redis.exceptions import ResponseError

OLDEST = (6, 0)  # with users and TLS; distributions ship 6.0 or later, and older ones get no repairs
_NEVER = "noeviction"


@dataclass(frozen=True, slots=True)
class Broker:
    """What a broker says of itself; None for what it does not let us ask."""

    info: Mapping[str, Any] | None
    config: Mapping[str, str] | None

    @property
    def server(self) -> str:
        """Its kind and version."""
        info = self.info or {}
        number = info.get("valkey_version") or info.get("redis_version") or "of an unknown version"
        return f"{str(info.get('server_name', 'redis')).capitalize()} {number}"


@dataclass(frozen=True, slots=True)
class Policy:
    """One thing about a broker, and what to set."""

    name: str
    state: Literal["ok", "warn", "bad"]
    message: str
    advice: str = ""


def ask(client: Redis) -> Broker:
    """Ask a broker about itself; a user who may not run INFO or CONFIG is told less."""

    def asked(command: Callable[[], Any]) -> Any:
        try:
            return command()
        except ResponseError:  # not permitted, or renamed away by a host
            return None

    info = asked(client.info)
    config = asked(lambda: {**client.config_get("maxmemory-policy"), **client.config_get("save")})
    return Broker(info or None, config or None)


def policies(broker: Broker) -> Iterator[Policy]:
    """Judge what a broker says of itself."""
    yield _eviction(broker)
    yield _persistence(broker)
    info = broker.info or {}
    # Valkey went on from Redis 7.2, and says that number there.
    version = re.match(r"(\d+)\.(\d+)", str(info.get("redis_version", "")))
    if version and (int(version[1]), int(version[2])) < OLDEST:
        advice = f"upgrade to Redis {OLDEST[0]}.{OLDEST[1]} or later, or to Valkey"
        yield Policy("broker version", "warn", f"{broker.server} is too old to be repaired by anybody", advice)


def _eviction(broker: Broker) -> Policy:
    name, advice = "broker memory", f"set maxmemory-policy to {_NEVER} (CONFIG SET, and in its configuration)"
    policy = (broker.info or {}).get("maxmemory_policy") or (broker.config or {}).get("maxmemory-policy")
    if policy is None:
        return _not_looked_at(name, "maxmemory-policy", f"it must be {_NEVER}")
    if policy == _NEVER:
        return Policy(name, "ok", f"maxmemory-policy is {_NEVER}")
    if str(policy).startswith("volatile"):
        return Policy(name, "warn", f"maxmemory-policy is {policy}: results are thrown away when it is full", advice)
    return Policy(name, "bad", f"maxmemory-policy is {policy}: messages are thrown away when it is full", advice)


def _persistence(broker: Broker) -> Policy:
    name, advice = "broker persistence", "set appendonly to yes"
    if broker.info is None or "aof_enabled" not in broker.info:
        return _not_looked_at(name, "appendonly", "it should be yes")
    if broker.info["aof_enabled"]:
        return Policy(name, "ok", "appendonly is on")
    if broker.config is None:
        lost = "a restart loses what is newer than its last snapshot, if it makes any"
    elif broker.config.get("save"):
        lost = "a restart loses what is newer than its last snapshot"
    else:
        lost = "a restart loses everything in it"
    return Policy(
        name, "warn", f"appendonly is off: {lost}, and producers' new jobs and results are only there", advice
    )


def _not_looked_at(name: str, setting: str, wanted: str) -> Policy:
    advice = f"allow the user +info and +config|get, or look at {setting} yourself: {wanted}"
    return Policy(name, "warn", f"{setting} could not be looked at: the user may not run INFO or CONFIG GET", advice)
