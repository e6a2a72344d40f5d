"""The intake of producers' messages: taken from the broker in groups, and acknowledged once their jobs are committed.

Celery's own strategy receives each message as ever: events, rate limits, `eta`, `expires`, `revoke`. Where it would
hand the message to a slot, it is put into a group instead. What the group cannot accept goes to a slot alone, with its
error: there Celery's tracer does all that follows an error.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import structlog
from celery import states
from celery.exceptions import BackendError
from celery.worker.request import Request
from celery.worker.state import task_accepted, task_ready, task_reserved
from celery.worker.strategy import default
from redis.exceptions import RedisError

from workers.engine.runtime import runtime
from workers.failpoints import hold
from workers.failures import describe
from workers.messaging.app import app
from workers.messaging.broker import acknowledge
from workers.messaging.result_store import Note, write
from workers.messaging.task_events import gather
from workers.producers.accept import accept
from workers.producers.check import TaskMessage
from workers.producers.grouping import MOST, Groups

#: In a request that goes to a slot after all: the error that its task raises there.
REFUSAL = "refusal"

log = structlog.get_logger()

#: Messages of groups wait for no slot, so each widens the worker's limit of messages at hand; but no more than these.
_room = threading.Semaphore(MOST)


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message that is due, the consumer that took it, and what it has widened of that consumer's limit."""

    request: Request
    consumer: Any
    limit: Any = None

    @property
    def asked(self) -> TaskMessage:
        """What it says."""
        request = self.request
        # The tracer makes the same of it, and so do Celery's own handlers of errors.
        return TaskMessage(request.type, request.args or (), request.kwargs or {}, request._context)  # noqa: SLF001

    def accepted(self) -> None:
        """Do what follows a task that raised `Ignore`; its message is acknowledged with those of its group.

        That the task has started is told when its job is sent, see `task_events.show_starts`.
        """
        task_accepted(self.request)
        task_ready(self.request)
        self.request.acknowledged = True

    def to_slot(self, refusal: Exception | None) -> None:
        """Have the task run alone, and raise `refusal` if there is one."""
        self.request.request_dict[REFUSAL] = refusal
        self.consumer.on_task_request(self.request)

    def narrow(self) -> None:
        """Give back what was widened."""
        if self.limit is not None:
            self.limit.decrement_eventually()
            _room.release()


class Door:
    """A worker's consumer as Celery's strategy sees it: it puts into groups what the consumer would give to slots."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._consumer, name)

    def on_task_request(self, request: Request) -> None:
        """Take in a message that is due."""
        limit = self._consumer.qos if _room.acquire(blocking=False) else None
        if limit is not None:
            limit.increment_eventually()
        groups().put(Arrived(request, self._consumer, limit))

    def apply_eta_task(self, request: Request) -> None:
        """Take in a message whose `eta` has come."""
        task_reserved(request)
        self.on_task_request(request)
        self._consumer.qos.decrement_eventually()


def strategy(task: Any, app: Any, consumer: Any, **options: Any) -> Any:
    """What a consumer does with the messages of `task`."""
    gather(consumer)
    return default(task, app, Door(consumer), info=_say_nothing, **options)


def _say_nothing(*_: Any, **__: Any) -> None:
    """Write no line for each message: there is one for each group."""


@lru_cache(maxsize=1)
def groups() -> Groups[Arrived]:
    """The groups of this process."""
    return Groups(take_in, "recast-intake")


def take_in(group: Sequence[Arrived]) -> None:
    """Accept the jobs of a group, and acknowledge its messages."""
    try:
        due = [each for each in group if not each.request.revoked()]
        asked = [each.asked for each in due]
        note_starts(asked)
        outcomes = accept(runtime(), asked)
        hold("accepted")
        settled = list(zip(due, outcomes, strict=True))
        accepted = [each for each, outcome in settled if not isinstance(outcome, Exception)]
        acknowledge(each.request.message for each in accepted)
        for each in accepted:
            each.accepted()
        for each, outcome in settled:
            if isinstance(outcome, Exception):
                each.to_slot(outcome)
        log.info("jobs_accepted", messages=len(group), jobs=len(accepted))
    except Exception:
        # Alone, each of them fails or succeeds by itself.
        log.exception("group_not_accepted", messages=len(group))
        for each in group:
            if not each.request.acknowledged:
                each.to_slot(None)
    finally:
        for each in group:
            each.narrow()


def note_starts(asked: Sequence[TaskMessage]) -> None:
    """Note in the result store that these tasks have started; what it has no room for, it does not say."""
    try:
        write(
            app.backend,
            [
                Note(each.request.id, {"pid": os.getpid(), "hostname": each.request.hostname}, states.STARTED)
                for each in asked
            ],
        )
    except (RedisError, BackendError, OSError) as error:
        log.warning("starts_not_noted", tasks=len(asked), error=describe(error))
