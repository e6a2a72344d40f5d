"""Wake-ups of pumps, which are named by task and subject: ``submit:zhiqite-main``, ``store:0``."""

from __future__ import annotations

from collections.abc import Collection

import structlog

from models.transactions import Database
from workers.engine.leases import want
from workers.engine.runtime import Runtime
from workers.jobs.lanes import lane_operation
from workers.messaging.publish import publish

log = structlog.get_logger()

#: The pump that sends webhooks' messages; its lease keeps it one, and it serves each webhook beside the others.
DELIVER_PUMP = "deliver:0"
_STORE = "store:"
#: The pump that makes quality checks; one is enough, for a check takes a fraction of what a provider takes.
CHECK_PUMP = "check:0"


def submit_pump(account: str) -> str:
    """The pump that submits an account's jobs."""
    return f"submit:{account}"


def submit_pumps(runtime: Runtime, lanes: Collection[str]) -> list[str]:
    """The pumps that can submit jobs of these lanes."""
    accounts = runtime.accounts.values() if lanes else ()
    return [submit_pump(each.name) for each in accounts if any(lane_operation(lane, each) for lane in lanes)]


def poll_pump(account: str) -> str:
    """The pump that polls an account's attempts."""
    return f"poll:{account}"


def search_pump(account: str) -> str:
    """The pump that searches for submissions which a restored database does not know."""
    return f"search:{account}"


def store_pump(number: int = 0) -> str:
    """One of the pumps that save results."""
    return f"{_STORE}{number}"


def is_store_pump(name: str) -> bool:
    """Whether a pump is one of those that save results."""
    return name.startswith(_STORE)


def wake(database: Database, *pumps: str, wake_in: float = 0.0) -> int:
    """Have pumps run within `wake_in` seconds; how many had to be sent a message for that.

    None is sent to a pump that runs now, for it looks again before it ends, nor where one for an earlier time is out.
    """
    wanted = database.db(want, pumps, wake_in) if pumps else []
    if pumps:
        log.debug("woken", pumps=pumps, published=wanted, wake_in=wake_in)
    for name in wanted:
        if not publish(name, wake_in):
            break  # a broker that is away is tried for seconds; the sweep wakes the others
    return len(wanted)


async def awake(runtime: Runtime, *pumps: str, wake_in: float = 0.0) -> None:
    """`wake` from the loop; a pump of this very process that is still claiming only needs a nudge."""
    others = []
    for name in pumps:
        active = runtime.active.get(name)
        if active is None:
            others.append(name)
        else:
            active.set()
    if others:
        await runtime.in_thread(wake, runtime, *others, wake_in=wake_in)
