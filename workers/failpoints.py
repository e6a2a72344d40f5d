"""Failpoints: named moments at which a fault test can stop a worker, to kill it or its peers right there.

Off unless ``RECAST_FAILPOINT`` names a moment and ``RECAST_FAILPOINT_FILE`` a file. The first time the moment is
reached, the file is made; every thread that reaches the moment waits until the file is removed or the process ends.
After that the process continues as if it had never been armed.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

#: The moments, in a job's order.
MOMENTS: Final = (
    "accepted",  # a group of producers' jobs is committed; no message is acknowledged
    "claimed",  # jobs are claimed; nothing is prepared or written
    "committed",  # attempts are committed; no byte is sent
    "answered",  # the provider has answered; nothing is recorded
    "recorded",  # the answer is recorded; no pump was woken
    "found",  # a poll found the result; nothing is recorded
    "stored",  # the pictures are in storage; no row says so
    "ended",  # the end of a job that a producer waits for is committed; nothing is announced
    "announced",  # the end is announced; no row says so
)

_ARMED = os.environ.get("RECAST_FAILPOINT")
_FILE = Path(os.environ.get("RECAST_FAILPOINT_FILE", "failpoint"))
_LOOK_SECONDS = 0.01

_fired: list[str] = []


def hold(moment: str) -> None:
    """Wait here if a test has armed `moment` and not released it."""
    while _held(moment):
        time.sleep(_LOOK_SECONDS)


async def hold_here(moment: str) -> None:
    """`hold` from the event loop, which continues meanwhile."""
    while _held(moment):  # noqa: ASYNC110 - the one who lets go is another process
        await asyncio.sleep(_LOOK_SECONDS)


def _held(moment: str) -> bool:
    if moment != _ARMED:
        return False
    if not _fired:
        _fired.append(moment)
        _FILE.touch()
    return _FILE.exists()
