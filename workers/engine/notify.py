"""After a group is written: wake the pumps it made work for, and announce the jobs it ended."""

from __future__ import annotations

import structlog

from workers.engine.record import Recorded
from workers.engine.runtime import Runtime
from workers.engine.wake import DELIVER_PUMP, awake, poll_pump, store_pump, submit_pump
from workers.failpoints import hold_here
from workers.messaging.events import show
from workers.messaging.publish import announce

log = structlog.get_logger()


async def tell(runtime: Runtime, account: str, recorded: Recorded) -> None:
    """Pass on what a written group means for others; whatever gets lost here, the sweep finds."""
    await hold_here("ended" if recorded.announce else "recorded")
    if recorded.poll_in is not None:
        await awake(runtime, poll_pump(account), wake_in=recorded.poll_in)
    now = {
        store_pump(): recorded.saving,
        submit_pump(account): recorded.freed or recorded.requeued,
        DELIVER_PUMP: any(move.heard for move in recorded.ended),
    }
    await awake(runtime, *(pump for pump, needed in now.items() if needed))
    if shown := runtime.sampler.choose(recorded.ended):
        await runtime.adb(show, shown)
    if recorded.announce:
        await runtime.in_thread(announce, recorded.announce)
