"""A consumer that is killed in the moment in which the broker has just answered it, before it does anything else.

It is its own process: `python -m tests.integration.messaging.killed URL ANSWER` ends with the ANSWERth answer that has
a message in it.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

from kombu import Connection, Queue
from redis import connection as connections

from workers.messaging.broker import repair


def kill_at(answer: int) -> None:
    """End this process, without a last word, when that answer has been read."""
    read = connections.Connection.read_response
    seen = 0

    def read_response(self: Any, *args: Any, **options: Any) -> Any:
        nonlocal seen
        found = read(self, *args, **options)
        seen += "delivery_tag" in repr(found)
        if seen == answer:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    connections.Connection.read_response = read_response  # type: ignore[method-assign]


def main(url: str, answer: str) -> None:
    """Consume producers' messages until the end."""
    repair()
    kill_at(int(answer))
    with Connection(url) as connection, connection.Consumer([Queue("jobs")], callbacks=[lambda *_: None]):
        while True:
            connection.drain_events(timeout=20)


if __name__ == "__main__":
    main(*sys.argv[1:])
