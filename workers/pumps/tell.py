"""After a group is written: wake the pumps it made work for, and announce the jobs it ended."""

from __future__ import annotations

import structlog
from kombu.exceptions import OperationalError

from workers.app import app
from workers.failpoints import hold_here
from workers.pumps.record import Recorded
from workers.pumps.wake import DELIVER_PUMP, poll_pump, store_pump, submit_pump, wake_from_pump
from workers.runtime import Runtime
from workers.telling.events import show

ANNOUNCE_AT_ONCE = 100  # jobs in one announce message

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
        await runtime.adb(show, shown)
    if any(move.heard for move in recorded.ended):
        await wake_from_pump(runtime, DELIVER_PUMP)
    if recorded.announce:
        await runtime.in_thread(announce, recorded.announce)


def announce(job_ids: tuple[str, ...]) -> None:
    """Have the ends of these jobs announced."""
    try:
        for start in range(0, len(job_ids), ANNOUNCE_AT_ONCE):
            ids = list(job_ids[start : start + ANNOUNCE_AT_ONCE])
            app.send_task("announce", args=[ids], retry=False, ignore_result=True)
    except OperationalError as error:
        log.warning("announcement_not_published", jobs=len(job_ids), error=str(error))
