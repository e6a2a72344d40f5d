"""What a broker's user may not do, told by name: the command, key or channel, and the rule that allows it.

A server says of a key or channel only that one is not permitted, and Celery takes that for a bug of its own, and ends.
Here it is told with what was asked for, as a refusal that may pass: the worker waits, connects again, and goes on when
the user was given the right.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import structlog
from redis.exceptions import NoPermissionError, ResponseError

from workers.messaging.refusals import BrokerRefusalError, told

PAUSE_SECONDS = 3.0  # before it is told: a consumer asks again at once, which would fill the log
AGAIN_SECONDS = 600.0  # between two entries of the log about the same right
#: What a server is asked about itself, by those who go on without an answer.
ABOUT_ITSELF = frozenset({"INFO", "CONFIG GET"})
MAX_NAMES = 4  # keys or channels of one message: they share a prefix, and one rule
_SEPARATOR = "\x06"  # behind it kombu writes the priority of a queue's key

#: How scripts say it before Redis 7, without a code of its own.
_IN_SCRIPTS = re.compile(r"The user executing the script can't ")
_COMMAND = re.compile(r"permissions to run the '([\w|-]{1,40})'")
_BY_NAME = ("key", "channel")

log = structlog.get_logger()
_lock = threading.Lock()
_logged: dict[str, float] = {}


class NotPermittedError(BrokerRefusalError):
    """The broker's user lacks a right; the message names it, and the rule that gives it."""


@contextmanager
def permitted(client: Any, *asked: object) -> Iterator[None]:
    """Tell what the broker refuses of the command `asked` as the kind of error that it is.

    Args:
        client: whose user asks; it has a pool of connections and, if its keys have one, a prefix.
        asked: the command and its arguments.

    Raises:
        NotPermittedError: the user may not do this.
        BrokerRefusalError: the broker takes nothing now.
    """
    with told():
        try:
            yield
        except ResponseError as error:
            if not _is_about_rights(error) or (asked and asked[0] in ABOUT_ITSELF):
                raise
            message = lacking(client, getattr(error, "asked", None) or asked, str(error))
            _log(message)
            time.sleep(PAUSE_SECONDS)
            raise NotPermittedError(message) from error


def _is_about_rights(error: ResponseError) -> bool:
    return isinstance(error, NoPermissionError) or _IN_SCRIPTS.search(str(error)) is not None


def lacking(client: Any, asked: Sequence[object], reply: str) -> str:
    """Say which right is missing, and the rule that gives it."""
    user = client.connection_pool.connection_kwargs.get("username") or "default"
    prefix = getattr(client, "global_keyprefix", "")
    denied = _COMMAND.search(reply)
    name = (denied[1] if denied else str(asked[0] if asked else "a command")).upper()
    kind = next((word for word in _BY_NAME if re.search(rf"\b{word}s?\b", reply)), None)
    if denied or kind is None:
        what, rule = f"run {name}", f"+{name.lower()}" if denied else "+@all -@dangerous"
    else:
        names = _names(asked, prefix)
        what = f"use the {kind} {', '.join(names)} ({name})" if names else f"use a {kind} ({name})"
        rule = f"{'~' if kind == 'key' else '&'}{prefix}*"
    return f"the broker's user {user!r} may not {what}; allow it with ACL SETUSER {user} {rule}"


def _names(asked: Sequence[object], prefix: str) -> list[str]:
    """The keys or channels of a command, as the server knows them."""
    command, *arguments = map(_text, asked)
    match command.upper():
        case "BRPOP" | "SUBSCRIBE" | "PSUBSCRIBE":
            found = [each for each in arguments if _SEPARATOR not in each]
        case "EVAL" | "EVALSHA":
            keys = arguments[2 : 2 + int(arguments[1])]  # with the prefix already
            return [each for each in keys if _SEPARATOR not in each][:MAX_NAMES]
        case _:
            found = [each.partition(_SEPARATOR)[0] for each in arguments[:1]]
    return [f"{prefix}{each.removeprefix(prefix)}" for each in found[:MAX_NAMES]]


def _text(value: object) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _log(message: str) -> None:
    now = time.monotonic()
    with _lock:
        if now - _logged.get(message, -AGAIN_SECONDS) < AGAIN_SECONDS:
            return
        _logged[message] = now
    log.error("broker_does_not_permit", error=message)
