"""The Celery app of workers, and every setting of it that differs from the default, each with its reason.

`recast.client` has the settings that producers need as well.

Workers consume the queue `jobs` (producers' swap and generate) and those of `ROUTES`. Celery's own default queue is
left alone and never consumed: it belongs to the callbacks of our users' canvases.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from kombu import Exchange, Queue

from recast.client import LazyApp, broker_settings
from recast.names import JOBS_QUEUE
from workers.config.settings import Settings, settings

#: Version of the pumps' messages; a worker ignores other versions, and the sweep sends the message again.
PUMP_VERSION = 1

QUEUES = (JOBS_QUEUE, "pumps", "files", "beat")
ROUTES = {
    "submit": "pumps",
    "poll": "pumps",
    "search": "pumps",
    "deliver": "pumps",
    "store": "files",
    "check": "files",
    "check_credentials": "files",
    "fire": "files",
    "announce": "beat",
    "sweep": "beat",
    "prune": "files",
    "tick": "beat",
}

PRUNE_EVERY = timedelta(days=1)  # batches keep their pictures for a number of whole days
SPARE_CONNECTIONS = 20  # beyond one for each slot: the consumer, heartbeats, control and retried acknowledgements
NO_BROKER = "redis://127.0.0.1:1/0"  # nothing listens on port 1, so a process without settings fails at once


def configuration(chosen: Settings) -> dict[str, Any]:
    """Celery's settings for `chosen`."""
    broker = chosen.broker_url or NO_BROKER
    shared = broker_settings(broker, chosen.result_url or broker, chosen.key_prefix)
    return {
        **shared,
        **_broker(chosen, shared["broker_transport_options"]),
        **_tasks(shared["task_routes"]),
        **_worker(chosen),
        **_beat(chosen),
    }


def _broker(chosen: Settings, transport: Mapping[str, Any]) -> dict[str, Any]:
    """How workers use the broker and the result backend; `transport` has the options that producers use too."""
    return {
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            **transport,
            "visibility_timeout": chosen.visibility_timeout,
            # The default looks for lost messages about every 100 s, whatever the timeout is.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 5,
            # With the default of 10, acknowledgements fail as soon as more slots than that finish together.
            "max_connections": chosen.slots + SPARE_CONNECTIONS,
        },
        "redis_max_connections": chosen.slots + SPARE_CONNECTIONS,
    }


def _tasks(routes: Mapping[str, Any]) -> dict[str, Any]:
    """Delivery and routing of tasks; `routes` has those that producers use too."""
    return {
        # The broker delivers a killed worker's messages again; every task here may run twice without harm.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "task_default_queue": "celery",
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in ("celery", *QUEUES)],
        "task_routes": {**routes, **{task: {"queue": queue} for task, queue in ROUTES.items()}},
        # Only jobs have results that a producer waits for; their tasks set this themselves.
        "task_ignore_result": True,
        "task_track_started": True,
    }


def _worker(chosen: Settings) -> dict[str, Any]:
    """The worker process."""
    return {
        "worker_prefetch_multiplier": 1,
        "worker_send_task_events": True,
        # Threads: pumps live on one event loop per process, and prefork's children are not notified of a shutdown.
        "worker_pool": "threads",
        "worker_concurrency": chosen.slots,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # A pump's slice ends by itself in seconds; submissions in flight get their time-out to be recorded.
        "worker_soft_shutdown_timeout": 0,
    }


def _beat(chosen: Settings) -> dict[str, Any]:
    """The periodic tasks."""
    # A sweep or tick that waited longer than two periods would only repeat the next one.
    expires = {"expires": chosen.sweep_every * 2}
    return {
        "beat_schedule": {
            "sweep": {"task": "sweep", "schedule": chosen.sweep_every, "options": expires},
            "prune": {"task": "prune", "schedule": PRUNE_EVERY},
            "tick": {"task": "tick", "schedule": chosen.sweep_every, "options": expires},
        },
        "beat_scheduler": "workers.messaging.beat:Scheduler",
        "beat_schedule_filename": str(chosen.home / "celerybeat-schedule"),
    }


app = LazyApp("recast", lambda: configuration(settings()))
