"""The work of a soak: jobs of every operation, at an even pace, in batches and as producers' tasks."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from celery import Celery
from kombu.exceptions import OperationalError
from PIL import Image
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, IntegrityError

from tests.chaos.plan import Plan
from tests.stack import Stack
from workers.config.settings import Settings
from workers.jobs.request import JobRequest
from workers.messaging.app import configuration

CHUNK_SECONDS = 5.0  # a batch's worth of jobs comes every so often
TASK_SHARE = 0.02  # of the jobs come from producers, through the broker
SIDE, HEIGHT = 96, 128  # 3:4, as HiDream wants it, and quickly decoded


class Load:
    """Feeds a deployment; what cannot be brought in now waits here, as it would at a producer."""

    def __init__(self, stack: Stack, plan: Plan, folder: Path) -> None:
        self._stack, self._plan = stack, plan
        self._asks = _Asks(random.Random(f"{plan.seed} jobs"), folder)
        self._tasks = round(plan.jobs * TASK_SHARE)
        self._chunks = max(1, round(plan.seconds / CHUNK_SECONDS))
        self._next_chunk, self._next_task = 0, 0
        self._waiting: tuple[str, list[JobRequest]] | None = None
        self._app = Celery("chaos", set_as_current=False)
        self._app.conf.update(
            configuration(Settings(broker_url=stack.env["RECAST_BROKER_URL"], database_url="postgresql://unused"))
        )
        #: When each task was sent that the broker took, in seconds after the start.
        self.sent: dict[str, float] = {}
        #: Jobs that were brought in by batches.
        self.inserted = 0

    @property
    def complete(self) -> bool:
        """Whether all jobs have been brought in."""
        return self._next_chunk >= self._chunks and self._next_task >= self._tasks and self._waiting is None

    def feed(self, now: float) -> None:
        """Bring in what is due `now` seconds after the start."""
        if self._waiting is None and self._next_chunk < self._chunks and now >= self._next_chunk * CHUNK_SECONDS:
            bulk, number = self._plan.jobs - self._tasks, self._next_chunk
            size = bulk * (number + 1) // self._chunks - bulk * number // self._chunks
            self._waiting = f"chunk-{number}", [self._asks.one() for _ in range(size)]
            self._next_chunk += 1
        if self._waiting is not None:
            self._insert(*self._waiting)
        if self._next_task < self._tasks and now >= self._next_task * self._plan.seconds / self._tasks:
            self._send(now)

    def close(self) -> None:
        """Let go of the broker."""
        self._app.close()

    def _insert(self, batch: str, asks: list[JobRequest]) -> None:
        try:
            self._stack.insert(asks, batch=batch)
        except IntegrityError:
            pass  # it was committed the last time, although nobody could say so
        except DBAPIError:
            return
        self.inserted += len(asks)
        self._waiting = None

    def _send(self, now: float) -> None:
        task_id = str(uuid.uuid4())
        swap = {"source": self._asks.picture, "target": self._asks.picture}
        try:
            self._app.send_task("swap", kwargs=swap, queue="jobs", task_id=task_id, retry=False, ignore_result=True)
        except (OperationalError, RedisError, OSError):
            return  # the producer was told, and asks again
        self.sent[task_id] = now
        self._next_task += 1


class _Asks:
    """Jobs to ask for: chance says of which operation."""

    def __init__(self, chance: random.Random, folder: Path) -> None:
        self._chance = chance
        self._number = 0
        self.picture = str(folder / "picture.jpg")
        Image.new("RGB", (SIDE, HEIGHT), "grey").save(self.picture)

    def one(self) -> JobRequest:
        """The next job."""
        self._number += 1
        name = self._chance.choice(sorted(OPERATIONS))
        given = OPERATIONS[name](f"portrait {self._number} of this run", self.picture)
        options = given.pop("options", {})
        pinned = None if name.startswith("any") else name
        if "prompt" in given or name == "hidream.variation":
            return JobRequest("generate", image=self.picture, operation=pinned, options=options, **given)
        return JobRequest("swap", source=self.picture, target=self.picture, operation=pinned, options=options, **given)


_Given = Callable[[str, str], dict[str, Any]]
_SMALL = {"width": 256, "height": 256}  # the smallest that all take

#: What each operation is asked for, given a prompt that no other job has and a picture; `any` leaves the choice to us.
OPERATIONS: Mapping[str, _Given] = {
    "hidream.variation": lambda _, __: {"options": {"template_id": 21}},
    "piktid.swap": lambda _, __: {},
    "qolaba.avatar": lambda prompt, _: {"prompt": prompt, "options": {"gender": "male", **_SMALL}},
    "qolaba.consistency": lambda prompt, _: {"prompt": prompt, "options": {"batch": 2, **_SMALL}},
    "replicate.generate": lambda prompt, _: {"prompt": prompt, "options": {"input": _SMALL}},
    "replicate.swap": lambda _, __: {},
    "zhiqite.swap": lambda _, __: {},
    "zhiqite.swap_faces": lambda _, picture: {"options": {"second_source": picture}},
    "zhiqite.swap_v2": lambda _, __: {"options": {"fidelity_weight": 0.5}},
    "any swap": lambda _, __: {},
}
