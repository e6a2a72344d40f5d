"""The result store, written for many tasks in one round trip; Celery's own methods take two for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from celery import states
from celery.app.task import Context


@dataclass(frozen=True, slots=True)
class Note:
    """What a task's entry in the store is to say."""

    task_id: str
    #: A value, or the exception of a task that failed.
    result: Any
    state: str
    request: Context | None = None
    traceback: str | None = None


def write(backend: Any, notes: Sequence[Note]) -> None:
    """Write these entries and tell who waits for them, as `store_result` of Celery's Redis backend does for one.

    A success that is already there stays.

    Raises:
        redis.exceptions.RedisError: the store is away, or has no room; some may be written.
    """
    keys = [backend.get_key_for_task(note.task_id) for note in notes]
    with backend.client.pipeline(transaction=False) as pipe:
        for note, key, entry in zip(notes, keys, backend.mget(keys) if keys else (), strict=True):
            if entry and backend.decode_result(entry)["status"] == states.SUCCESS:
                continue
            text = backend.encode(_entry(backend, note))
            expires = backend.failure_expires if note.state == states.FAILURE else backend.expires
            pipe.set(key, text, ex=expires or None)
            pipe.publish(key, text)
        pipe.execute()


def _entry(backend: Any, note: Note) -> dict[str, Any]:
    result = backend.encode_result(note.result, note.state)
    entry = backend._get_result_meta(  # noqa: SLF001 - with every field that Celery would write
        result=result, state=note.state, traceback=note.traceback, request=note.request
    )
    return {**entry, "task_id": note.task_id}
