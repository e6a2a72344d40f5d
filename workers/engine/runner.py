"""The runner of pumps: one slice of work under a lease, on the event loop.

message --> lease taken? --no--> return
                |yes
                v
            slice: claim ... call ... write        (claiming stops after slice_seconds, or when nothing is due)
                |
                v
            lock the lease, look what is left, release --> message for the next slice, or none
"""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from contextlib import suppress
from typing import Protocol

import structlog
from sqlalchemy.orm import Session

from workers.config.settings import MAX_COUNTDOWN_SECONDS
from workers.engine import leases
from workers.engine.runtime import Runtime
from workers.engine.slice import Slice

log = structlog.get_logger()


class Pump(Protocol):
    """What one kind of pump does with its slices."""

    name: str

    async def run(self, turn: Slice) -> None:
        """Claim and work until ``turn.over`` or until nothing is due; return when every outcome is written."""
        ...

    def next_in(self, session: Session) -> float | None:
        """Seconds until the next slice should run; None when only a wake-up can bring work."""
        ...


def owner() -> str:
    """A name for the holder of a lease that no other slice has."""
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def run(runtime: Runtime, pump: Pump, generation: int | None) -> tuple[float, int] | None:
    """Run one slice of `pump` if its lease is free.

    Returns:
        Seconds until the next slice and the generation its message must carry; None when no message is to be sent.
    """
    lease = runtime.db(leases.acquire, pump.name, owner(), generation)
    if lease is None:
        log.debug("slice_skipped", pump=pump.name, because="lease_taken_or_message_outdated", generation=generation)
        return None
    with structlog.contextvars.bound_contextvars(pump=pump.name):
        log.debug("slice_started", generation=lease.generation)
        runtime.on_loop(_slice(runtime, pump, lease))
        following = runtime.db(_release, lease, pump)
        log.debug("slice_ended", next_in=following and following[0])
    return following


def _release(session: Session, lease: leases.Lease, pump: Pump) -> tuple[float, int] | None:
    if not leases.lock_for_release(session, lease):
        return None
    seconds = pump.next_in(session)
    generation = leases.release(session, lease, seconds)
    # A longer sleep stays a row: the sweep sends the message when the time has come.
    return (seconds, generation) if seconds is not None and seconds <= MAX_COUNTDOWN_SECONDS else None


async def _slice(runtime: Runtime, pump: Pump, lease: leases.Lease) -> None:
    turn = Slice(runtime, lease, runtime.settings.slice_seconds)
    keeper = asyncio.ensure_future(turn.keep_lease())
    runtime.active[pump.name] = turn.nudged
    try:
        await pump.run(turn)
    finally:
        # Cleared before the lease is locked for release: a process that still saw it here has committed work that the
        # check under that lock will find.
        runtime.active.pop(pump.name, None)
        keeper.cancel()
        with suppress(asyncio.CancelledError):
            await keeper
