"""What a broker's user may not do is told by name, with the rule that allows it, and as something that may pass."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import structlog
from redis.exceptions import NoPermissionError, OutOfMemoryError, ResponseError

from tests.words import unsaid
from workers.messaging import permissions
from workers.messaging.permissions import NotPermittedError, permitted
from workers.messaging.refusals import BrokerRefusalError


def client(prefix: str = "", user: str | None = "app") -> Any:
    return SimpleNamespace(
        connection_pool=SimpleNamespace(connection_kwargs={"username": user}), global_keyprefix=prefix
    )


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(permissions, "_logged", {})


def refused(error: Exception, *asked: object, by: Any = None) -> BrokerRefusalError:
    with pytest.raises(BrokerRefusalError) as caught, permitted(by or client(), *asked):
        raise error
    return caught.value


#: As Redis 6, Redis 7 and Valkey, and their scripts, say it.
COMMANDS = (
    NoPermissionError("this user has no permissions to run the 'brpop' command or its subcommand"),
    NoPermissionError("User app has no permissions to run the 'brpop' command"),
    NoPermissionError("ACL failure in script: User app has no permissions to run the 'brpop' command script: f_1"),
)
KEYS = (
    NoPermissionError("this user has no permissions to access one of the keys used as arguments"),
    NoPermissionError("No permissions to access a key"),
    ResponseError("The user executing the script can't access at least one of the keys mentioned in the command"),
)
CHANNELS = (
    NoPermissionError("this user has no permissions to access one of the channels used as arguments"),
    NoPermissionError("No permissions to access a channel"),
)


@pytest.mark.parametrize("error", COMMANDS, ids=str)
def test_a_command_is_named_with_its_rule(error: Exception) -> None:
    told = refused(error, "BRPOP", "jobs", "pumps", 1)
    assert isinstance(told, NotPermittedError)
    assert unsaid(str(told), "BRPOP", "ACL SETUSER app", "+brpop") == []


@pytest.mark.parametrize("error", KEYS, ids=str)
@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        (("BRPOP", "jobs", "jobs\x06\x163", "pumps"), ["shop:jobs", "shop:pumps"]),
        (("BLMOVE", "jobs\x06\x163", "jobs\x06\x163", "RIGHT", "RIGHT", 1), ["shop:jobs"]),
        (("HSET", "unacked", "tag", "a message with a secret"), ["shop:unacked"]),
        (("HSET", b"shop:unacked", b"tag"), ["shop:unacked"]),
        (
            ("EVAL", "text", 3, "shop:unacked", "shop:jobs\x06\x163", "shop:jobs", "secret"),
            ["shop:unacked", "shop:jobs"],
        ),
        (("EVALSHA", "0123", 2, "shop:jobs", "shop:unacked", "secret"), ["shop:jobs", "shop:unacked"]),
    ],
)
def test_keys_are_named_as_the_server_knows_them(error: Exception, asked: tuple[object, ...], keys: list[str]) -> None:
    told = str(refused(error, *asked, by=client("shop:")))
    assert unsaid(told, *keys, "ACL SETUSER app ~shop:*") == []
    assert "secret" not in told


@pytest.mark.parametrize("error", CHANNELS, ids=str)
@pytest.mark.parametrize("command", ["SUBSCRIBE", "PUBLISH"])
def test_a_channel_is_named_with_its_rule(error: Exception, command: str) -> None:
    told = str(refused(error, command, "/0.celery.pidbox", by=client(user=None)))
    assert unsaid(told, command, "/0.celery.pidbox", "ACL SETUSER default &*") == []


def test_the_command_of_a_pipeline_is_the_one_that_failed() -> None:
    error: Any = NoPermissionError(
        "Command # 2 (HSET unacked ...) of pipeline caused error: No permissions to access a key"
    )
    error.asked = ("HSET", "unacked", "tag")
    assert unsaid(str(refused(error)), "HSET", "unacked") == []


def test_each_right_is_logged_once_and_again_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            refused(COMMANDS[1], "BRPOP", "jobs")
            refused(KEYS[1], "BRPOP", "jobs")
        assert len(logged) == 2
        monkeypatch.setattr(permissions, "AGAIN_SECONDS", 0.0)
        refused(KEYS[1], "BRPOP", "jobs")
    assert [line["log_level"] for line in logged] == ["error"] * 3


def test_other_errors_stay_what_they_are() -> None:
    assert not isinstance(refused(OutOfMemoryError("full"), "LPUSH", "jobs"), NotPermittedError)
    for error, asked in (
        (ResponseError("WRONGTYPE Operation against a key"), ("LPUSH", "jobs")),
        # Who asks a server about itself goes on without an answer.
        (NoPermissionError("User app has no permissions to run the 'info' command"), ("INFO", "cluster")),
        (NoPermissionError("User app has no permissions to run the 'config|get' command"), ("CONFIG GET", "save")),
    ):
        with pytest.raises(type(error)) as caught, permitted(client(), *asked):
            raise error
        assert caught.value is error
