"""The Celery app of workers, and every setting of it that differs from the default, each with its reason.

What producers need as well stands in `recast.client`.

Queues: `jobs` (producers' swap and generate), `pumps` (submit, poll, deliver), `files` (store, fire), `beat` (sweep,
tick, announce).
Celery's own default queue is left alone and never consumed: the callbacks of our users' canvases are theirs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from kombu import Exchange, Queue

from recast.client import LazyApp, broker_settings
from recast.names import JOBS_QUEUE
from workers.config.settings import Settings, settings

#: Version of the pumps' messages; a worker leaves messages of a version it does not know to the sweep.
PUMP_VERSION = 1

QUEUES = (JOBS_QUEUE, "pumps", "files", "beat")
ROUTES = {
    "submit": "pumps",
    "poll": "pumps",
    "search": "pumps",
    "deliver": "pumps",
    "store": "files",
    "fire": "files",
    "announce": "beat",
    "sweep": "beat",
    "prune": "files",
    "tick": "beat",
}

PRUNE_EVERY = timedelta(days=1)  # batches say in whole days how long their pictures are kept
SPARE_CONNECTIONS = 20  # beyond one for each slot: the consumer, heartbeats, control and retried acknowledgements
NO_BROKER = "redis://127.0.0.1:1/0"  # nothing listens on port 1: a process without settings is told so at once


def configuration(chosen: Settings) -> dict[str, Any]:
    """Celery's settings for `chosen`."""
    broker = chosen.broker_url or NO_BROKER
    shared = broker_settings(broker, chosen.result_url or broker)
    return {
        **shared,
        "broker_connection_retry_on_startup": True,
        "broker_transport_options": {
            **shared["broker_transport_options"],
            "visibility_timeout": chosen.visibility_timeout,
            # The default looks for lost messages about every 100 s, whatever the timeout is.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 5,
            # The default of 10 fails acknowledgements as soon as more slots than that finish together.
            "max_connections": chosen.slots + SPARE_CONNECTIONS,
        },
        "redis_max_connections": chosen.slots + SPARE_CONNECTIONS,
        # A killed worker's messages come back; every task here is harmless when run twice.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_default_queue": "celery",
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in ("celery", *QUEUES)],
        "task_routes": {**shared["task_routes"], **{task: {"queue": queue} for task, queue in ROUTES.items()}},
        # Only jobs have results that somebody waits for; their tasks say so themselves.
        "task_ignore_result": True,
        "task_track_started": True,
        "worker_send_task_events": True,
        # Threads: pumps live on one event loop per process, and prefork's children never hear of a shutdown.
        "worker_pool": "threads",
        "worker_concurrency": chosen.slots,
        "worker_cancel_long_running_tasks_on_connection_loss": False,
        "worker_hijack_root_logger": False,
        "worker_redirect_stdouts": False,
        # A pump's slice ends by itself in seconds; submissions in flight get their time-out to be recorded.
        "worker_soft_shutdown_timeout": 0,
        "beat_schedule": {
            "sweep": {
                "task": "sweep",
                "schedule": chosen.sweep_every,
                # A sweep that waited longer than two periods would only repeat the next one.
                "options": {"expires": chosen.sweep_every * 2},
            },
            "prune": {"task": "prune", "schedule": PRUNE_EVERY},
            "tick": {
                "task": "tick",
                "schedule": chosen.sweep_every,
                "options": {"expires": chosen.sweep_every * 2},
            },
        },
        "beat_scheduler": "workers.messaging.beat:Scheduler",
        "beat_schedule_filename": str(chosen.home / "celerybeat-schedule"),
    }


app = LazyApp("recast", lambda: configuration(settings()))
