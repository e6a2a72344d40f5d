"""The retrying tasks: each activation is one slice of a pump, and then its own successor."""

from __future__ import annotations

from typing import Any

import structlog

from tasks.base import RecastTask
from workers.engine import leases
from workers.engine.check import CheckPump
from workers.engine.poll import PollPump
from workers.engine.runner import Pump, run
from workers.engine.runtime import runtime
from workers.engine.store import StorePump, stores_enough
from workers.engine.submit import SubmitPump
from workers.engine.wake import store_pump
from workers.messaging.app import PUMP_VERSION, app
from workers.restore.search import SearchPump
from workers.webhooks.deliver import DeliverPump

log = structlog.get_logger()


def _activate(task: Any, pump: Pump, generation: int | None) -> None:
    """One slice, then a retry that carries the new generation; a message that is not wanted any more ends here."""
    following = run(runtime(), pump, generation)
    if following is not None:
        seconds, generation = following
        raise task.retry(countdown=seconds, kwargs={"version": PUMP_VERSION, "generation": generation})


@app.task(bind=True, base=RecastTask, name="submit", max_retries=None)
def submit(self: Any, account: str, version: int, generation: int | None = None) -> None:
    """Submit the queued jobs of an account for one slice."""
    if version == PUMP_VERSION:
        _activate(self, SubmitPump(runtime(), account), generation)


@app.task(bind=True, base=RecastTask, name="poll", max_retries=None)
def poll(self: Any, account: str, version: int, generation: int | None = None) -> None:
    """Poll the due attempts of an account for one slice."""
    if version == PUMP_VERSION:
        _activate(self, PollPump(runtime(), account), generation)


@app.task(bind=True, base=RecastTask, name="search", max_retries=None)
def search(self: Any, account: str, version: int, generation: int | None = None) -> None:
    """Search for submissions at an account, after a restore, for one slice."""
    if version == PUMP_VERSION:
        _activate(self, SearchPump(runtime(), account), generation)


@app.task(bind=True, base=RecastTask, name="store", max_retries=None)
def store(self: Any, number: str, version: int, generation: int | None = None) -> None:
    """Save finished pictures for one slice, unless this process does enough of that: then others are called."""
    if version != PUMP_VERSION:
        return
    if stores_enough(runtime()):
        runtime().db(leases.forgo, store_pump(int(number)))
    else:
        _activate(self, StorePump(runtime(), int(number)), generation)


@app.task(bind=True, base=RecastTask, name="check", max_retries=None)
def check(self: Any, number: str, version: int, generation: int | None = None) -> None:
    """Make quality checks of stored pictures for one slice."""
    del number  # there is one such pump
    if version == PUMP_VERSION:
        _activate(self, CheckPump(runtime()), generation)


@app.task(bind=True, base=RecastTask, name="deliver", max_retries=None)
def deliver(self: Any, number: str, version: int, generation: int | None = None) -> None:
    """Send webhooks' messages for one slice."""
    del number  # there is one such pump
    if version == PUMP_VERSION:
        _activate(self, DeliverPump(runtime()), generation)
