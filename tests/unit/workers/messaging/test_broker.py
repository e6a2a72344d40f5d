"""What is a message, which replies of the broker may pass, and what happens to a message that could not be noted."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

import pytest
from redis.exceptions import BusyLoadingError, OutOfMemoryError, ReadOnlyError, ResponseError
from redis.exceptions import ConnectionError as BrokerConnectionError

from workers.messaging import messages
from workers.messaging.broker import Channel
from workers.messaging.refusals import takes_nothing


class _Reads:
    """As much of a channel as reading needs."""

    def decode_body(self, body: Any, encoding: str | None) -> Any:
        return base64.b64decode(body, validate=True) if encoding == "base64" else body

    def prepare_message(self, *_: Any) -> None:
        raise AssertionError("nothing is sent")


def message(**changes: Any) -> dict[str, Any]:
    """A message as Celery's protocol 2 has it, with `changes`."""
    body = [[], {"source": "a"}, {"callbacks": None}]
    made = {
        "body": base64.b64encode(json.dumps(body).encode()).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "recast.swap", "id": "1"},
        "properties": {
            "delivery_tag": "t", "body_encoding": "base64", "delivery_info": {"exchange": "", "routing_key": "jobs"},
        },
    }  # fmt: skip
    return {**made, **changes}


UNREADABLE = {
    "empty": b"", "text": b"hello", "not utf-8": b"\xff\xfe", "null": b"null", "a number": b"7", "a list": b"[1]",
    "an empty object": b"{}", "cut off": json.dumps(message()).encode()[:80], "deep": b"[" * 100_000,
    "no properties": json.dumps(message(properties=None)).encode(),
    "properties are text": json.dumps(message(properties="x")).encode(),
    "no tag": json.dumps(message(properties={"delivery_info": {}})).encode(),
    "no place": json.dumps(message(properties={"delivery_tag": "t", "delivery_info": {}})).encode(),
    "a body that is not base64": json.dumps(message(body="%%%")).encode(),
    "a body that is not JSON": json.dumps(message(body="aGFsbG8=")).encode(),
    "a body of another shape": json.dumps(message(body=base64.b64encode(b"{}").decode())).encode(),
    "headers are a list": json.dumps(message(headers=[1])).encode(),
    "a task that is a list": json.dumps(message(headers={"task": [], "id": "1"})).encode(),
    "no id": json.dumps(message(headers={"task": "recast.swap"})).encode(),
}  # fmt: skip


@pytest.mark.parametrize("item", UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_message(item: bytes) -> None:
    assert not messages.is_message(item, cast("Channel", _Reads()))


def test_what_is_one() -> None:
    assert messages.is_message(json.dumps(message()).encode(), cast("Channel", _Reads()))
    older = message(headers={}, body=base64.b64encode(b'{"task": "t", "id": "1"}').decode())
    assert messages.is_message(json.dumps(older).encode(), cast("Channel", _Reads()))


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True),
        (ReadOnlyError("You can't write against a read only replica."), True),
        (ResponseError("MISCONF Valkey is configured to save RDB snapshots, but it can't"), True),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), True),
        (ResponseError("Command # 1 (SADD a b) of pipeline caused error: NOREPLICAS Not enough good replicas."), True),
        (ResponseError("Command # 1 (SADD a OOM ) of pipeline caused error: WRONGTYPE Operation"), False),
        (ResponseError("OOM allow-oom flag is not set on the script"), True),
        (ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"), True),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), False),
        (ResponseError("unknown command"), False),
        (BusyLoadingError("loading"), False),  # a lost connection already, for kombu and for Celery
    ],
)
def test_which_replies_may_pass(error: Exception, passes: bool) -> None:
    assert takes_nothing(error) is passes
    assert passes or isinstance(error, ResponseError | BrokerConnectionError)
