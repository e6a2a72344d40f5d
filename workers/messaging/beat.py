"""Beat's scheduler: Celery's, which writes a heartbeat after each task that was really published."""

from __future__ import annotations

from typing import Any

import structlog
from celery.beat import PersistentScheduler

from workers.config.settings import settings
from workers.failures import describe
from workers.heartbeats import file_of
from workers.messaging.heartbeat import Heartbeat

log = structlog.get_logger()


class Scheduler(PersistentScheduler):  # type: ignore[misc]  # celery ships no types
    """Celery's scheduler with a heartbeat; one that waits for a silent broker writes none."""

    def setup_schedule(self) -> None:
        """Read the schedule, and begin the heartbeat."""
        super().setup_schedule()
        chosen = settings()
        self._heartbeat = Heartbeat(file_of(chosen.home, "beat"), chosen.sweep_every)

    def apply_async(self, entry: Any, producer: Any = None, advance: bool = True, **options: Any) -> Any:
        """Publish a due task, and say whether that went well."""
        try:
            sent = super().apply_async(entry, producer=producer, advance=advance, **options)
        except Exception as error:
            self._heartbeat.write({"broker": describe(error)})
            raise
        self._heartbeat.write({"broker": None})
        return sent

    def sync(self) -> None:
        """Write the times of the last runs; on a full disk they are only remembered."""
        try:
            super().sync()
        except OSError as error:
            log.warning("schedule_not_written", error=describe(error))

    def close(self) -> None:
        """End in good order."""
        super().close()
        self._heartbeat.remove()
