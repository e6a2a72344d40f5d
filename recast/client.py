"""The producers' Celery app, and the broker settings that producers share with workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from celery import Celery, signals
from celery.loaders.app import AppLoader

from recast import address, settings
from recast.address import Address
from recast.hints import hint
from recast.names import ARGUMENTS, JOBS_QUEUE

LINK_SECONDS = 5  # a broker or result store that swallows packets is noticed within this; by default never


def broker_settings(broker_url: str, result_url: str, key_prefix: str = "") -> dict[str, Any]:
    """Celery's settings for every process that sends, producer or worker.

    Args:
        broker_url: of the broker, as `recast.address` reads it.
        result_url: of the result store.
        key_prefix: what every key in both begins with, so that a server can be shared.
    """
    return {
        **_places(address.parse(broker_url), address.parse(result_url), key_prefix),
        "broker_connection_timeout": LINK_SECONDS,
        "redis_socket_timeout": LINK_SECONDS,
        "redis_socket_connect_timeout": LINK_SECONDS,
        "redis_backend_health_check_interval": LINK_SECONDS,
        # Only JSON: other languages can write it, and attackers cannot run code with it.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_routes": {task: {"queue": JOBS_QUEUE} for task in ARGUMENTS},
        "result_expires": timedelta(days=7),
        # A chord's counter must outlive its slowest job by far; the default is a day.
        "result_chord_expires": timedelta(weeks=4),
        "timezone": "UTC",
    }


def _places(broker: Address, results: Address, key_prefix: str) -> dict[str, Any]:
    """The settings that depend on what kinds of servers there are."""
    # Without these, a link that swallows packets hangs a process silently and forever.
    waits = {"socket_timeout": LINK_SECONDS, "socket_connect_timeout": LINK_SECONDS}
    prefix = {"global_keyprefix": key_prefix} if key_prefix else {}
    return {
        "broker_url": broker.celery_url,
        "broker_use_ssl": dict(broker.tls) or False,
        "broker_transport_options": {
            **waits,
            "socket_keepalive": True,
            "health_check_interval": LINK_SECONDS,
            **broker.transport(waits),
            **prefix,
        },
        "result_backend": results.celery_url,
        "redis_backend_use_ssl": dict(results.tls) or None,
        "redis_socket_keepalive": results.kind != "unix",
        "result_backend_transport_options": {**results.transport(waits), **prefix},
    }


class LazyApp(Celery):  # type: ignore[misc]  # celery ships no types
    """A Celery app that is configured at first use, so that importing it reads no environment.

    It uses the broker and the result store of its settings, even if CELERY_BROKER_URL or CELERY_RESULT_BACKEND is set
    for another app in the same process.

    Args:
        name: the app's name.
        configuration: returns the settings.
        loader: Celery's loader, if not the default one.
    """

    def __init__(
        self, name: str, configuration: Callable[[], Mapping[str, Any]], loader: type[AppLoader] | None = None
    ) -> None:
        self._configuration = configuration
        super().__init__(name, loader=loader, set_as_current=False)

    def prepare_config(self, c: Any) -> Any:
        """Add our settings before any read: `add_defaults` adds them later, and a second thread would miss them."""
        return super().prepare_config({**self._configuration(), **(c or {})})

    def finalize(self, auto: bool = False) -> None:
        """Finalize once there are settings: without them, the app would stay half finalized."""
        _ = self.conf.broker_url
        super().finalize(auto)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Celery's method, with the broker of the settings."""
        return super().connection_for_read(url or self.conf.get("broker_url"), **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Celery's method, with the broker of the settings."""
        return super().connection_for_write(url or self.conf.get("broker_url"), **options)

    def _get_backend(self) -> Any:
        self.backend_cls: Any = self.conf.get("result_backend")
        return super()._get_backend()


class _Loader(AppLoader):  # type: ignore[misc]  # celery ships no types
    """Celery's loader with our result store, given by name so that it is imported at first use."""

    override_backends: ClassVar = {
        "redis": "recast.result_store:ResultStore",
        "rediss": "recast.result_store:ResultStore",
        "sentinel": "recast.result_store:SentinelResultStore",
    }


def _configuration() -> dict[str, Any]:
    """A producer's settings.

    Raises:
        NotConfiguredError: no broker is configured.
    """
    chosen = settings.read()
    return broker_settings(chosen.broker_url, chosen.result_url, chosen.key_prefix)


app = LazyApp("recast", _configuration, _Loader)


def _leave_jobs(sender: Any, **_: Any) -> None:
    """Refuse a worker of the producers' app that would take jobs: it has neither accounts nor a database."""
    if sender.app is app and JOBS_QUEUE in app.amqp.queues.consume_from:
        raise SystemExit(
            f"the queue {JOBS_QUEUE!r} is for Recast's own workers ({hint('worker')}); leave it out of --queues"
        )


signals.worker_init.connect(_leave_jobs)
