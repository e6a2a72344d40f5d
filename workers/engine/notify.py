"""After a group is written: wake the pumps it made work for, and announce the jobs it ended."""

from __future__ import annotations

import structlog

from workers.engine.record import Recorded
from workers.engine.runtime import Runtime
from workers.engine.wake import DELIVER_PUMP, poll_pump, store_pump, submit_pump, wake_from_pump
from workers.failpoints import hold_here
from workers.messaging.events import show
from workers.messaging.publish import announce

log = structlog.get_logger()


async def tell(runtime: Runtime, account: str, recorded: Recorded) -> None:
    """Pass on what a written group means for others; whatever gets lost here, the sweep finds."""
    await hold_here("ended" if recorded.announce else "recorded")
    if recorded.poll_in is not None:
        await wake_from_pump(runtime, poll_pump(account), recorded.poll_in)
    if recorded.saving:
        await wake_from_pump(runtime, store_pump())
    if recorded.freed or recorded.requeued:
        await wake_from_pump(runtime, submit_pump(account))
    if shown := runtime.sampler.choose(recorded.ended):
        await runtime.adb(show, shown, runtime.settings.currency)
    if any(move.heard for move in recorded.ended):
        await wake_from_pump(runtime, DELIVER_PUMP)
    if recorded.announce:
        await runtime.in_thread(announce, recorded.announce)
