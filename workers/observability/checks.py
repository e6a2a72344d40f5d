"""The parts a worker needs, each with a small piece of real work that fails when the part does.

The consumer is the one that `inspect ping` gets wrong: a worker whose link swallows packets answers no ping and yet
is not dead, and one that has lost its consumer may answer. Here Celery's own loop has to come round, and the
broker has to have answered its last request for messages.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from sqlalchemy.exc import SQLAlchemyError

from models.connection import be_patient, ping
from workers.config.settings import SettingsError
from workers.engine.runtime import Runtime
from workers.failures import describe
from workers.messaging.app import app
from workers.messaging.broker import Channel
from workers.messaging.claim import claim
from workers.observability.health import ANSWER_SECONDS

TICK_SECONDS = 1.0  # between two looks of Celery's loop at itself
SILENT_SECONDS = 8.0  # kombu asks for messages with a time-out of 1 s, and drops a link that owes an answer for 6 s
BAD_SETTINGS = 2  # the exit code, as of every command that is given bad input

log = structlog.get_logger()


class SilentError(Exception):
    """The consumer has not come round for too long."""


class Consumer(bootsteps.StartStopStep):  # type: ignore[misc]  # celery ships no types
    """Notes, on Celery's loop, that the loop turns and the broker answers."""

    requires = ("celery.worker.consumer.tasks:Tasks",)
    #: On `time.monotonic`; at first the start of the process.
    well_at = time.monotonic()

    def __init__(self, consumer: Any, **options: Any) -> None:
        super().__init__(consumer, **options)
        self._timer: Any = None

    def start(self, consumer: Any) -> None:
        """Look at every turn of the loop's timer, as long as this connection lasts."""
        self._timer = consumer.timer.call_repeatedly(TICK_SECONDS, self._look, (consumer,))

    def stop(self, consumer: Any) -> None:
        """Stop looking: the connection is gone, or the worker ends."""
        if self._timer is not None:
            consumer.timer.cancel(self._timer)
            self._timer = None

    def _look(self, consumer: Any) -> None:
        now = time.monotonic()
        channel = consumer.task_consumer.channel
        # With all slots taken nothing is asked for, and so nothing answered.
        is_full = not channel.qos.can_consume() and not channel.qos.owes
        if is_full or now - Channel.answered_at < SILENT_SECONDS:
            Consumer.well_at = now


app.steps["consumer"].add(Consumer)


def parts(runtime: Runtime) -> Mapping[str, Callable[[], object]]:
    """What to ask of each part of a worker; every one raises when its part is broken."""
    return {
        "database": lambda: _database(runtime),
        "broker": lambda: _broker(runtime),
        "results": _results,
        "loop": lambda: runtime.on_loop(asyncio.sleep(0)),
        "consumer": lambda: _consumer(runtime),
        "threads": lambda: runtime.threads.submit(bool).result(ANSWER_SECONDS),
        "decoders": runtime.decoders.check,
    }


def _database(runtime: Runtime) -> None:
    with runtime.engine.connect() as connection:
        be_patient(connection, ANSWER_SECONDS)
        ping(connection)


def _broker(runtime: Runtime) -> None:
    # A connection of its own, so that the answer is the broker's and not that of an old link.
    with app.connection_for_write() as connection:
        connection.channel().client.ping()
    try:
        claim(runtime)
    except SettingsError as error:
        # It started while the database was away. From here on it would take another deployment's jobs, or none.
        log.critical("not_continued", error=str(error))
        state.should_stop = BAD_SETTINGS
        raise
    except SQLAlchemyError as error:
        log.debug("broker_not_claimed", error=describe(error))  # the part "database" says it


def _results() -> None:
    # Celery keeps a backend for each thread, and each asking thread is new.
    client = app.backend.client
    try:
        client.ping()
    finally:
        client.connection_pool.disconnect()


def _consumer(runtime: Runtime) -> None:
    silent = time.monotonic() - Consumer.well_at
    # An orderly stop ends the consumer first, and the work in flight later.
    if silent > SILENT_SECONDS and not runtime.stopping.is_set():
        raise SilentError(f"it has received no message and has not looped for {silent:.0f} s")
