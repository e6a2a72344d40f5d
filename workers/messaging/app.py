"""The Celery app and every broker setting that differs from the default, each with its reason.

Queues: `jobs` (producers' swap and generate), `pumps` (submit, poll, deliver), `files` (store, fire), `beat` (sweep,
tick, announce).
Celery's own default queue is left alone and never consumed: the callbacks of our users' canvases are theirs.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from celery import Celery
from kombu import Exchange, Queue

from workers.config.settings import Settings, settings

#: Version of the pumps' messages; a worker leaves messages of a version it does not know to the sweep.
PUMP_VERSION = 1

QUEUES = ("jobs", "pumps", "files", "beat")
ROUTES = {
    "swap": "jobs",
    "generate": "jobs",
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
LINK_SECONDS = 5  # a black-holed broker or backend is noticed within this; the default is never
SPARE_CONNECTIONS = 20  # beyond one for each slot: the consumer, heartbeats, control and retried acknowledgements
NO_BROKER = "redis://127.0.0.1:1/0"  # nothing listens on port 1: a producer without settings is told so at once


def configuration(chosen: Settings) -> dict[str, Any]:
    """Celery's settings for `chosen`."""
    broker = chosen.broker_url or NO_BROKER
    return {
        "broker_url": broker,
        "result_backend": chosen.result_url or broker,
        "broker_connection_retry_on_startup": True,
        "broker_connection_timeout": LINK_SECONDS,
        # Without these a link that swallows packets hangs a worker silently for good.
        "broker_transport_options": {
            "visibility_timeout": chosen.visibility_timeout,
            # The default looks for lost messages about every 100 s, whatever the timeout is.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 5,
            "socket_timeout": LINK_SECONDS,
            "socket_connect_timeout": LINK_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": LINK_SECONDS,
            # The default of 10 fails acknowledgements as soon as more slots than that finish together.
            "max_connections": chosen.slots + SPARE_CONNECTIONS,
        },
        "redis_socket_timeout": LINK_SECONDS,
        "redis_socket_connect_timeout": LINK_SECONDS,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": LINK_SECONDS,
        "redis_max_connections": chosen.slots + SPARE_CONNECTIONS,
        # JSON is the only thing another language, or an attacker, may send us.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        # A killed worker's messages come back; every task here is harmless when run twice.
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_default_queue": "celery",
        "task_queues": [Queue(name, Exchange(name), routing_key=name) for name in ("celery", *QUEUES)],
        "task_routes": {task: {"queue": queue} for task, queue in ROUTES.items()},
        # Only jobs have results that somebody waits for; their tasks say so themselves.
        "task_ignore_result": True,
        "task_track_started": True,
        "result_expires": timedelta(days=7),
        # A chord's counter must outlive its slowest job by far; the default is a day.
        "result_chord_expires": timedelta(weeks=4),
        "task_send_sent_event": True,
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
        "timezone": "UTC",
    }


class _App(Celery):  # type: ignore[misc]  # Celery has no types
    """Configured at first use, so that importing the package reads no environment."""

    def prepare_config(self, c: Any) -> Any:
        """Ours before anything is read: what `add_defaults` adds comes later, and a second thread would see none."""
        return super().prepare_config({**configuration(settings()), **(c or {})})


app = _App("recast", set_as_current=False)
