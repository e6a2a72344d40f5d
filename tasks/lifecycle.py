"""The start and the end of a worker process: logs, checks, the first sweep, and an orderly shutdown."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Mapping
from typing import Any

import structlog
from celery import signals
from celery.apps import worker as celery_worker
from celery.concurrency import get_implementation
from celery.concurrency.thread import TaskPool
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from recast.hints import hint
from workers import private
from workers.config.account_values import AccountsError
from workers.config.accounts import load
from workers.config.settings import Settings, SettingsError, settings
from workers.engine.runtime import runtime
from workers.failures import is_full
from workers.heartbeats import file_of
from workers.http.transport import proxies
from workers.images.storage import Storage, StorageError
from workers.messaging.app import QUEUES, app
from workers.messaging.broker import repair
from workers.messaging.broker_policy import ask, policies
from workers.messaging.claim import claim_if_possible
from workers.messaging.heartbeat import Heartbeat
from workers.messaging.publish import announce_here
from workers.observability import checks
from workers.observability.health import Pulse
from workers.observability.logs import configure_logs, say_at_once
from workers.producers.completion import announcing
from workers.producers.grouping import Groups

BAD_SETTINGS = 2  # the exit code, as of every command that is given bad input
ANNOUNCE_SECONDS = 5.0  # for the last ends that this process knows of, when it stops; the sweep does what is left
SPARE_SLOTS = 4  # for producers' tasks, completion notices and the sweep beside the pumps

log = structlog.get_logger()

_pulse: list[Pulse] = []
_announcing: list[Groups[str]] = []


def check_slots(slots: int, accounts: int, store_pumps: int) -> None:
    """Refuse a worker whose pumps could take all of its slots.

    Raises:
        SettingsError: says how many slots are needed.
    """
    needed = 2 * accounts + store_pumps + SPARE_SLOTS
    if slots < needed:
        raise SettingsError(
            f"RECAST_SLOTS={slots} (or --concurrency) is too small: {accounts} accounts take two slots each,"
            f" {store_pumps} store pumps one each, and {SPARE_SLOTS} must stay free; set {needed} or more"
        )


@signals.celeryd_init.connect
@signals.beat_init.connect
def _private(**_: Any) -> None:
    """Make private what the process makes, whatever program started it."""
    private.begin()


@signals.setup_logging.connect
def _logs(loglevel: int | str | None = None, **_: Any) -> None:
    configure_logs(loglevel if isinstance(loglevel, int) else logging.INFO)


@signals.celeryd_init.connect
def _say_nothing_else(instance: Any, options: Mapping[str, Any], **_: Any) -> None:
    """Have Celery's worker print nothing: no banner, and what it says when a signal comes as a line of the log.

    Celery sets up logs only after the checks of a start, and after its own warning about the user root.
    """
    _logs(options.get("loglevel"))
    instance.quiet = True
    celery_worker.safe_say = say_at_once


def check_pool(pool: Any) -> None:
    """Refuse a worker with another pool than the one of threads: pumps share an event loop and are told of a stop.

    Raises:
        SettingsError: says what to start.
    """
    kind = get_implementation(pool)
    if not issubclass(kind, TaskPool):
        name = kind.__module__.rpartition(".")[2]
        raise SettingsError(f"the pool {name!r} cannot run Recast's pumps; use {hint('worker')}, or --pool=threads")


def leave_default_queue(queues: Any, default: str) -> None:
    """Take Celery's default queue out of those that this worker consumes: its messages are for producers' workers.

    Raises:
        SettingsError: no other queue is left.
    """
    queues.deselect([default])
    if not queues.consume_from:
        allowed = ", ".join(QUEUES)
        raise SettingsError(f"the queue {default!r} belongs to producers' own workers; allowed for --queues: {allowed}")


def check(chosen: Settings, accounts: int, slots: int) -> None:
    """Refuse to work with settings that would lose money or time; `slots` is what this worker really has.

    Raises:
        SettingsError: says which, and what to set.
    """
    if chosen.secret_key is None:
        raise SettingsError(
            "RECAST_SECRET_KEY is not set; media links are signed and providers' tokens encrypted with it:"
            " set 32 random characters"
        )
    check_slots(slots, accounts, chosen.store_pumps)


def check_storage(storage: Storage) -> None:
    """Refuse to work for results that could not be stored: pictures are paid for first.

    Raises:
        SettingsError: a folder cannot be written to. A full one may have room by then, and a service may be back.
    """
    try:
        if storage.is_folder:
            storage.check_writable()
    except StorageError as error:
        if error.__cause__ is not None and is_full(error.__cause__):
            log.warning("storage_full", error=str(error))
        else:
            raise SettingsError(f"{error}; correct RECAST_STORAGE_URL, or the rights of its folder") from error


def warn_of_surroundings() -> None:
    """Say in the log what `recast doctor` says of the broker's settings, and of a proxy that is not used."""
    if found := proxies(os.environ):
        log.warning("proxy_not_used", variables=found)
    try:
        with app.connection_for_write() as connection:
            client = getattr(connection.default_channel, "client", None)
            broker = ask(client) if client is not None else None
    except (OperationalError, RedisError, OSError):
        return  # the claim has said it
    for item in policies(broker) if broker is not None else ():
        if item.state != "ok":
            say = log.error if item.state == "bad" else log.warning
            say("broker_policy", subject=item.name, detail=item.message, advice=item.advice)


def _leave_alone(*_: Any, **__: Any) -> None:
    """A second Ctrl-C does nothing to running tasks: their slices noticed the first one and end by themselves.

    Celery's pool of threads cannot end one, raises, and leaves the worker half stopped and alive.
    """


@signals.worker_init.connect
def _prepare(sender: Any, **_: Any) -> None:
    repair()
    TaskPool.terminate_job = _leave_alone
    try:
        # Only the file is read: a worker may start before its database.
        check_pool(sender.pool_cls)
        leave_default_queue(app.amqp.queues, app.conf.task_default_queue)
        check(settings(), len(load(settings().accounts_file)), sender.concurrency)
        own = runtime()
        check_storage(own.storage)
        if (signer := own.signer) is not None:
            log.info("signs_results", certificate=signer.subject, until=signer.until.isoformat())
        claim_if_possible(own)
        warn_of_surroundings()
    except (SettingsError, AccountsError, StorageError) as error:
        log.critical("not_started", service="worker", error=str(error))
        # Celery logs and passes over what a signal's handler raises, unless it is this.
        raise SystemExit(BAD_SETTINGS) from error
    heartbeat = Heartbeat(file_of(own.settings.home, sender.hostname), own.settings.heartbeat_every)
    _pulse.append(Pulse(heartbeat, checks.parts(own), own.settings.heartbeat_every))
    _pulse[0].start()
    _announcing.append(announcing(own, sender.hostname))
    announce_here(_announcing[0].put)


@signals.worker_ready.connect
def _keep_imported(**_: Any) -> None:
    """Leave what was imported out of every later look for garbage: it stays, and looking through it costs a sixth."""
    gc.collect()
    gc.freeze()


@signals.worker_ready.connect
def _sweep_once(**_: Any) -> None:
    app.send_task("sweep", retry=False, ignore_result=True)


@signals.worker_shutting_down.connect
def _stop_claiming(**_: Any) -> None:
    runtime().stopping.set()


@signals.worker_shutdown.connect
def _close(**_: Any) -> None:
    while _pulse:
        _pulse.pop().stop()
    while _announcing:
        _announcing.pop().close(ANNOUNCE_SECONDS)
    runtime().close()
