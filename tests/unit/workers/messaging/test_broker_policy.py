"""The broker's own settings: what loses messages is bad, and what may not be asked is said to be unknown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from redis.exceptions import NoPermissionError, ResponseError

from tests.words import unsaid
from workers.messaging.broker_policy import Broker, ask, policies

KEEPS = {"redis_version": "7.2.4", "maxmemory_policy": "noeviction", "aof_enabled": 1}


def judged(info: Mapping[str, Any] | None, config: Mapping[str, str] | None = None) -> dict[str, tuple[str, str]]:
    return {item.name: (item.state, item.message + item.advice) for item in policies(Broker(info, config))}


def test_a_broker_that_keeps_everything_is_well() -> None:
    assert {state for state, _ in judged(KEEPS).values()} == {"ok"}


@pytest.mark.parametrize("policy", ["allkeys-lru", "allkeys-lfu", "allkeys-random", "allkeys-lrm"])
def test_a_policy_that_loses_messages_is_bad(policy: str) -> None:
    state, told = judged({**KEEPS, "maxmemory_policy": policy})["broker memory"]
    assert state == "bad"
    assert unsaid(told, "maxmemory-policy", policy, "noeviction") == []


def test_a_policy_that_loses_results_is_told() -> None:
    state, told = judged({**KEEPS, "maxmemory_policy": "volatile-lru"})["broker memory"]
    assert (state, unsaid(told, "volatile-lru", "noeviction")) == ("warn", [])


@pytest.mark.parametrize("config", [None, {"save": ""}, {"save": "3600 1"}])
def test_what_a_restart_loses_is_told(config: Mapping[str, str] | None) -> None:
    state, told = judged({**KEEPS, "aof_enabled": 0}, config)["broker persistence"]
    assert (state, unsaid(told, "appendonly")) == ("warn", [])


def test_a_version_that_nobody_repairs_is_told() -> None:
    assert judged({**KEEPS, "redis_version": "5.0.14"})["broker version"][0] == "warn"
    assert "broker version" not in judged({**KEEPS, "redis_version": "6.0.16"})


class Client:
    """A broker's client whose user may not run some commands."""

    def __init__(self, *, info: Any = KEEPS, config: Any = None) -> None:
        self._info, self._config = info, config or {}

    def info(self) -> Any:
        return self._answer(self._info)

    def config_get(self, name: str) -> Any:
        return (self._answer(self._config).get(name) and {name: self._config[name]}) or {}

    def _answer(self, given: Any) -> Any:
        if isinstance(given, Exception):
            raise given
        return given


@pytest.fixture(
    params=[NoPermissionError("no permissions to run the 'info' command"), ResponseError("unknown command")]
)
def refused(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_what_may_not_be_asked_is_unknown_and_no_error(refused: Exception) -> None:
    nothing: Any = Client(info=refused, config=refused)
    found = {item.name: item for item in policies(ask(nothing))}
    assert {item.state for item in found.values()} == {"warn"}
    assert (
        unsaid(found["broker memory"].message + found["broker memory"].advice, "maxmemory-policy", "noeviction") == []
    )
    # Each of the two commands is enough for the policy.
    without_config: Any = Client(config=refused)
    assert {item.name: item.state for item in policies(ask(without_config))}["broker memory"] == "ok"
    without_info: Any = Client(info=refused, config={"maxmemory-policy": "allkeys-lru"})
    assert {item.name: item.state for item in policies(ask(without_info))}["broker memory"] == "bad"
