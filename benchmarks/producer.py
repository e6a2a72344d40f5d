"""A producer: keeps a number of jobs outstanding, waits for each one's result, and notes when it had it.

    python -m benchmarks.producer recast --outstanding 2000 --notes FILE        works until it is terminated

The notes are Unix times, one a line. Each contestant is sent to as its users do, and waited for with its own `get`.
"""

from __future__ import annotations

import argparse
import os
import time
import uuid
from collections import deque
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.contestants import INPUTS, SOURCE, TARGET

FIRST = 1_000  # jobs that are sent before the first one is waited for
GROWTH = 2  # jobs that are sent for each result, until as many are outstanding as shall be
GET_SECONDS = 300.0  # more than any contestant needs for what is outstanding

#: Sends a job; returns what waits for its result.
Send = Callable[[], Callable[[], Any]]


def recast() -> Send:
    """Of Recast's producers."""
    from recast import swap  # noqa: PLC0415 - of the contestants, only the one that works is imported

    inputs, numbers = os.environ.get(INPUTS), count()

    def send() -> Callable[[], Any]:
        source, target = (f"{inputs}0", f"{inputs}{next(numbers)}") if inputs else (SOURCE, TARGET)
        sent = swap.delay(source=source, target=target)
        return lambda: sent.get(timeout=GET_SECONDS)

    return send


def celery() -> Send:
    """Of the idiomatic Celery task's producers."""
    from benchmarks.contestants.celery_idiomatic import make  # noqa: PLC0415 - as above

    def send() -> Callable[[], Any]:
        job_id = str(uuid.uuid4())
        sent = make.apply_async((job_id, SOURCE, TARGET), task_id=job_id)
        return lambda: sent.get(timeout=GET_SECONDS)

    return send


def dramatiq() -> Send:
    """Of the Dramatiq actor's producers."""
    from benchmarks.contestants.dramatiq_idiomatic import make  # noqa: PLC0415 - as above

    def send() -> Callable[[], Any]:
        sent = make.send(str(uuid.uuid4()), SOURCE, TARGET)
        return lambda: sent.get_result(block=True, timeout=int(GET_SECONDS * 1_000))

    return send


SENDERS: dict[str, Callable[[], Send]] = {"recast": recast, "celery": celery, "dramatiq": dramatiq}


def main() -> None:
    """Send and wait until terminated."""
    parser = argparse.ArgumentParser(description="A producer of the benchmark.")
    parser.add_argument("contestant", choices=SENDERS)
    parser.add_argument("--outstanding", type=int, required=True, help="jobs that are waited for at a time")
    parser.add_argument("--notes", type=Path, required=True, help="file for the times at which results were there")
    options = parser.parse_args()
    send = SENDERS[options.contestant]()
    waiting: deque[Callable[[], Any]] = deque()
    with options.notes.open("w", buffering=1) as notes:
        waiting.extend(send() for _ in range(min(FIRST, options.outstanding)))
        while True:
            waiting.popleft()()
            for _ in range(min(GROWTH, options.outstanding - len(waiting))):
                waiting.append(send())
            notes.write(f"{time.time()}\n")


if __name__ == "__main__":
    main()
