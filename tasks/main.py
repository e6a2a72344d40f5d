"""The Celery app of workers (``celery -A tasks.main worker``), with tasks registered and the lifecycle attached."""

from tasks import jobs, lifecycle, pumps, upkeep
from workers.messaging.app import app

#: Importing these registers tasks, control commands and signal handlers.
REGISTERED = (jobs, pumps, upkeep, lifecycle)

# Flower and `celery result` look for results without naming an app.
app.set_default()

__all__ = ["REGISTERED", "app"]
