"""The Celery app that producers send with, and the settings of the broker that they share with workers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from celery import Celery
from celery.loaders.app import AppLoader

from recast import settings
from recast.names import ARGUMENTS, JOBS_QUEUE

LINK_SECONDS = 5  # a black-holed broker or result store is noticed within this; the default is never


def broker_settings(broker_url: str, result_url: str) -> dict[str, Any]:
    """Celery's settings that every process needs that sends, producer or worker."""
    return {
        "broker_url": broker_url,
        "result_backend": result_url,
        "broker_connection_timeout": LINK_SECONDS,
        # Without these a link that swallows packets hangs a process silently for good.
        "broker_transport_options": {
            "socket_timeout": LINK_SECONDS,
            "socket_connect_timeout": LINK_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": LINK_SECONDS,
        },
        "redis_socket_timeout": LINK_SECONDS,
        "redis_socket_connect_timeout": LINK_SECONDS,
        "redis_socket_keepalive": True,
        "redis_backend_health_check_interval": LINK_SECONDS,
        # JSON is the only thing another language, or an attacker, may send us.
        "task_serializer": "json",
        "result_serializer": "json",
        "accept_content": ["json"],
        "task_routes": {task: {"queue": JOBS_QUEUE} for task in ARGUMENTS},
        "result_expires": timedelta(days=7),
        # A chord's counter must outlive its slowest job by far; the default is a day.
        "result_chord_expires": timedelta(weeks=4),
        "task_send_sent_event": True,
        "timezone": "UTC",
    }


class LazyApp(Celery):  # type: ignore[misc]  # celery ships no types
    """A Celery app that is configured at first use, so that importing it reads no environment.

    Its broker and its result store are those of its settings, also where CELERY_BROKER_URL or CELERY_RESULT_BACKEND is
    set for another app in the same process.

    Args:
        name: the app's.
        configuration: gives the settings.
        loader: Celery's loader, where it is not the usual one.
    """

    def __init__(
        self, name: str, configuration: Callable[[], Mapping[str, Any]], loader: type[AppLoader] | None = None
    ) -> None:
        self._configuration = configuration
        super().__init__(name, loader=loader, set_as_current=False)

    def prepare_config(self, c: Any) -> Any:
        """Ours before anything is read: what `add_defaults` adds comes later, and a second thread would see none."""
        return super().prepare_config({**self._configuration(), **(c or {})})

    def finalize(self, auto: bool = False) -> None:
        """Celery's, once there are settings: without them the app would be left finalized by half."""
        _ = self.conf.broker_url
        super().finalize(auto)

    def connection_for_read(self, url: str | None = None, **options: Any) -> Any:
        """Celery's, with the broker of the settings."""
        return super().connection_for_read(url or self.conf.get("broker_url"), **options)

    def connection_for_write(self, url: str | None = None, **options: Any) -> Any:
        """Celery's, with the broker of the settings."""
        return super().connection_for_write(url or self.conf.get("broker_url"), **options)

    def _get_backend(self) -> Any:
        self.backend_cls: Any = self.conf.get("result_backend")
        return super()._get_backend()


class _Loader(AppLoader):  # type: ignore[misc]  # celery ships no types
    """Celery's loader with a result store of ours; named, so that it is imported at first use."""

    override_backends = dict.fromkeys(("redis", "rediss"), "recast.result_store:ResultStore")


def _configuration() -> dict[str, Any]:
    """A producer's settings.

    Raises:
        NotConfiguredError: no broker is named.
    """
    chosen = settings.read()
    return broker_settings(chosen.broker_url, chosen.result_url)


app = LazyApp("recast", _configuration, _Loader)
