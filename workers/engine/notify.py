"""Notifications after a group is written: wake the pumps that have new work, and announce the jobs that ended."""

from __future__ import annotations

import structlog

from workers.engine.record import Recorded
from workers.engine.runtime import Runtime
from workers.engine.wake import DELIVER_PUMP, awake, poll_pump, store_pump, submit_pump
from workers.failpoints import hold_here
from workers.messaging.publish import announce
from workers.messaging.task_events import show

log = structlog.get_logger()


async def notify(runtime: Runtime, account: str, recorded: Recorded) -> None:
    """Wake pumps and announce ended jobs; the sweep finds whatever is lost here."""
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
        await runtime.adb(show, shown, runtime.settings.currency)
    if recorded.announce:
        await runtime.in_thread(announce, recorded.announce)
