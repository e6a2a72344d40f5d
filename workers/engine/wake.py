"""Waking pumps, which are named by their task and what it works for: ``submit:zhiqite-main``, ``store:0``."""

from __future__ import annotations

import structlog

from workers.engine.leases import want
from workers.engine.runtime import Runtime
from workers.messaging.publish import publish

#: The pump that sends webhooks' messages; its lease keeps it one, and it serves each webhook beside the others.
DELIVER_PUMP = "deliver:0"

log = structlog.get_logger()


def submit_pump(account: str) -> str:
    """The pump that submits an account's jobs."""
    return f"submit:{account}"


def poll_pump(account: str) -> str:
    """The pump that polls an account's attempts."""
    return f"poll:{account}"


def search_pump(account: str) -> str:
    """The pump that searches for submissions which a restored database does not know."""
    return f"search:{account}"


def store_pump(number: int = 0) -> str:
    """One of the pumps that save results."""
    return f"store:{number}"


def wake(runtime: Runtime, name: str, wake_in: float = 0.0) -> None:
    """Have the pump run within `wake_in` seconds, unless it runs now or a message for an earlier time is out."""
    if runtime.db(want, name, wake_in):
        publish(name, wake_in)


async def wake_from_pump(runtime: Runtime, name: str, wake_in: float = 0.0) -> None:
    """`wake` from the loop; a pump of this very process that is still claiming only needs a nudge."""
    active = runtime.active.get(name)
    if active is not None:
        active.set()
    else:
        await runtime.in_thread(wake, runtime, name, wake_in)
