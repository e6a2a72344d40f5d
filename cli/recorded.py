"""The record of commands that changed something, for `recast audit`: who typed which, and for what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import ContextVar
from enum import Enum
from functools import wraps
from typing import Any, TypeVar

from desk import audit
from desk.actors import from_command
from models.batches import SINGLES_NAME
from workers.engine.runtime import Runtime

R = TypeVar("R")

#: Parameters that name rows or settings of ours; the others may hold a person's data, a secret or a free text.
SAID = (
    "batch", "singles", "label", "account", "operation", "reason", "state", "words", "name", "webhook", "delivery",
    "priority", "max_cost", "abandon", "everything", "accepted", "give_up", "not_accepted", "to",
)  # fmt: skip
#: Commands that only list what there is unless one of these is said.
LISTS = {"resolve": ("accepted", "not_accepted", "give_up")}
#: What the name or number of a command of a group is that of.
NOUNS = {"accounts": "account", "schedule": "schedule", "webhooks": "webhook"}
MOST = 20  # values of one parameter that are kept

_running: ContextVar[tuple[str, Mapping[str, Any]] | None] = ContextVar("running", default=None)


def recorded(name: str) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Have a command recorded under `name` when it has ended well, unless it was a dry run."""

    def wrap(command: Callable[..., R]) -> Callable[..., R]:
        @wraps(command)
        def run(*args: Any, **given: Any) -> R:
            token = _running.set((name, given))
            try:
                return command(*args, **given)
            finally:
                _running.reset(token)

        return run

    return wrap


def record(runtime: Runtime, batch: str | None = None) -> None:
    """Write down the command that has just done its work, on `batch`, if it is recorded and changes something."""
    running = _running.get()
    if running is None or running[1].get("dry_run"):
        return
    name, given = running
    if name in LISTS and not any(given.get(each) for each in LISTS[name]):
        return
    detail = {key: _plain(given[key]) for key in SAID if given.get(key)}
    one, noun = given.get("name") or given.get("webhook"), NOUNS.get(name.partition(" ")[0])
    if noun is not None:
        subject = noun if one is None else f"{noun} {one}"
    else:
        subject = audit.jobs_of(SINGLES_NAME if given.get("singles") else batch or given.get("batch"))
    runtime.db(audit.note, from_command(), name, subject, **detail)


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value[:MOST]]
    return value.value if isinstance(value, Enum) else value if isinstance(value, bool | int) else str(value)
