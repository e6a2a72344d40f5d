"""What is a message of Celery's: whatever a queue holds besides is not handed to Celery, which would end over it."""

from __future__ import annotations

import json
from typing import Any

from kombu.transport import virtual


def is_message(item: bytes, channel: Any) -> bool:
    """Whether `item` is a message as Celery's protocol has it, so far that nothing in Celery ends over it."""
    return read(item, channel) is not None


def read(item: bytes, channel: Any) -> dict[str, Any] | None:
    """The message that `item` is, if it is one."""
    try:
        raw: dict[str, Any] = json.loads(item)
        message = virtual.Message(raw, channel=channel)
        places = [message.delivery_tag, message.delivery_info["exchange"], message.delivery_info["routing_key"]]
        texts = [message.headers[name] for name in ("task", "id")] if "task" in message.headers else []
        if message.content_type == "application/json":
            body = json.loads(message.body)
            return raw if _are_texts(places + texts) and (not texts or _is_body(body)) else None
        return raw if _are_texts(places + texts) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _is_body(body: Any) -> bool:
    """Arguments by position, arguments by name, and the canvas."""
    kinds = (list, dict, dict | None)
    return (
        isinstance(body, list)
        and len(body) == len(kinds)
        and all(isinstance(part, kind) for part, kind in zip(body, kinds, strict=True))
    )
