"""Servers of another kind: refused by the setting's name at the start, whatever their words for it are."""

from __future__ import annotations

import pytest
from kombu.exceptions import OperationalError
from redis.exceptions import AskError, ClusterCrossSlotError, MovedError, RedisError, ResponseError
from redis.exceptions import ConnectionError as LinkError

from tests.words import names
from workers.config.settings import SettingsError
from workers.messaging.unfit import fit

#: As Redis 7, Valkey 8 and a Sentinel answer; kombu wraps what comes while it connects.
REFUSED = [
    (MovedError("5061 10.0.0.2:6379"), "Cluster"),
    (AskError("5061 10.0.0.2:6379"), "Cluster"),
    (ClusterCrossSlotError("Keys in request don't hash to the same slot"), "Cluster"),
    (ResponseError("SELECT is not allowed in cluster mode"), "Cluster"),
    (OperationalError("SELECT is not allowed in cluster mode"), "Cluster"),
    (ResponseError("DB index is out of range"), "number"),
    (OperationalError("DB index is out of range"), "number"),
    (ResponseError("invalid DB index"), "number"),
    (ResponseError("unknown command 'GET', with args beginning with: 'recast.deployment'"), "sentinel://"),
    (ResponseError("unknown command `GET`, with args beginning with: `recast.deployment`"), "sentinel://"),
]


@pytest.mark.parametrize(("error", "told"), REFUSED)
def test_a_server_of_another_kind_is_refused(error: Exception, told: str) -> None:
    with pytest.raises(SettingsError, match=names("RECAST_BROKER_URL", told)), fit("RECAST_BROKER_URL"):
        raise error


@pytest.mark.parametrize("error", [LinkError("Connection refused"), OperationalError("timed out")])
def test_a_server_that_is_away_is_not(error: Exception) -> None:
    with pytest.raises((RedisError, OperationalError)) as caught, fit("RECAST_BROKER_URL"):
        raise error
    assert caught.value is error
