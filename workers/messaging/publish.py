"""Messages that start tasks; an unavailable broker is not an error here."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from kombu.exceptions import OperationalError

from workers.failures import describe
from workers.messaging.app import PUMP_VERSION, app

ANNOUNCE_AT_ONCE = 100  # jobs in one announce message

log = structlog.get_logger()

#: In a worker, what announces a job's end in this very process: it knows of the end before any message could tell it.
_announcers: list[Callable[[str], None]] = []


def announce_here(announcer: Callable[[str], None]) -> None:
    """Have ends announced by this process from now on, by a call for each job that must not wait for anything."""
    _announcers[:] = [announcer]


def connect() -> None:
    """Connect to the broker ahead of this process's first message, which would take a tenth of a second longer."""
    try:
        with app.producer_or_acquire() as producer:
            _ = producer.channel
    except Exception as error:  # noqa: BLE001 - the first message says what is the matter
        log.warning("broker_not_reached", error=describe(error))


def publish(name: str, wake_in: float = 0.0) -> bool:
    """Send a pump's wake-up; whether the broker took it.

    An unavailable broker is not an error here: the lease's `wake_at` says what is due, and the sweep repeats lost
    messages.
    """
    task, _, subject = name.partition(":")
    try:
        app.send_task(
            task,
            args=[subject],
            kwargs={"version": PUMP_VERSION},
            countdown=wake_in or None,
            retry=False,
            ignore_result=True,  # otherwise every wake-up subscribes to a result that never arrives
        )
    except OperationalError as error:
        log.warning("wake_up_not_published", pump=name, error=str(error))
        return False
    return True


def announce(job_ids: tuple[str, ...]) -> None:
    """Have the ends of these jobs announced; the sweep repeats what is lost on the way."""
    if _announcers:
        for job_id in job_ids:
            _announcers[0](job_id)
        return
    try:
        for start in range(0, len(job_ids), ANNOUNCE_AT_ONCE):
            ids = list(job_ids[start : start + ANNOUNCE_AT_ONCE])
            app.send_task("announce", args=[ids], retry=False, ignore_result=True)
    except OperationalError as error:
        log.warning("completion_notice_not_published", jobs=len(job_ids), error=str(error))
