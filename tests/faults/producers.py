"""Producers that wait for their tasks while something is killed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from celery import Celery
from celery.result import AsyncResult

from tests.stack import Stack
from workers.config.settings import Settings
from workers.messaging.app import configuration

GET_SECONDS = 120  # until a result that is announced must have been got


class Producers:
    """Tasks whose results this process has subscribed to since it sent them."""

    def __init__(self, stack: Stack) -> None:
        self._app = Celery("producers", set_as_current=False)
        settings = Settings(
            database_url=stack.env["RECAST_DATABASE_URL"],
            broker_url=stack.env["RECAST_BROKER_URL"],
            result_url=stack.env["RECAST_RESULT_URL"],
        )
        self._app.conf.update(configuration(settings))
        self.results: dict[str, AsyncResult] = {}

    def send(self, task: str, **arguments: Any) -> str:
        """Ask for a job as any producer does; returns its id."""
        return self.send_with({}, task, **arguments)

    def send_with(self, options: Mapping[str, Any], task: str, /, **arguments: Any) -> str:
        """`send` with Celery's options, such as `expires` or `countdown`."""
        result = self._app.send_task(task, kwargs=arguments, queue="jobs", ignore_result=False, **options)
        self.results[result.id] = result
        return str(result.id)

    @property
    def control(self) -> Any:
        """Celery's remote control of the workers."""
        return self._app.control

    def get(self, job_id: str) -> dict[str, Any]:
        """The result, as ``.get()`` gives it."""
        value: dict[str, Any] = self.results[job_id].get(timeout=GET_SECONDS)
        return value

    def close(self) -> None:
        """Close every connection, and forget the results while there is a store to tell."""
        self.results.clear()
        self._app.backend.result_consumer.stop()
        self._app.backend.client.close()
        self._app.close()
