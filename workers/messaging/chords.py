"""Chords' counters, moved for many tasks in one round trip; Celery's own method takes one for each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import ResponseError

from workers.messaging.result_store import Note

#: Ends a key that is never written. Celery's script completes a chord when it is full by its size; without one, it only
#: counts.
_NO_SIZE = ".none"
#: The script's arguments about the completion.
_NO_CLAIM = (0, "")


def count(backend: Any, notes: Sequence[Note]) -> set[str]:
    """Count these ends in their chords; returns the tasks for whose chords there is no more to do.

    The others are for `on_chord_part_return` of Celery's Redis backend, which counts nothing twice, and sees to it that
    one worker alone calls a full chord's body. As there, the last end to be counted finds the chord full, at whichever
    worker; where that one dies, the notices of its group are repeated, and find it full again.

    Raises:
        redis.exceptions.RedisError: the store is away; some may be counted.
    """
    parts = [note for note in notes if note.request and note.request.chord and note.request.group]
    if not parts:
        return set()
    with backend.client.pipeline(transaction=False) as pipe:
        for part in parts:
            _add(backend, pipe, part)
        answers = iter(pipe.execute(raise_on_error=False))
    return {
        part.task_id for part, counted, sizes in zip(parts, answers, answers, strict=True) if _is_over(counted, sizes)
    }


def _add(backend: Any, pipe: Any, part: Note) -> None:
    """Count one end as `on_chord_part_return` does, by the same script, and ask how many the chord waits for."""
    request: Any = part.request
    keys = {end: backend.get_key_for_group(request.group, end) for end in (".j", ".t", ".s", ".d", "", ".c", _NO_SIZE)}
    result = backend.encode([1, part.task_id, part.state, backend.encode_result(part.result, part.state)])
    index = "+inf" if request.group_index is None else request.group_index
    seconds = (backend.chord_expires or 0, backend._chord_result_expires)  # noqa: SLF001 - as Celery keeps them
    backend._chord_part_return_script(  # noqa: SLF001 - what is counted here has to be counted there
        keys=[keys[end] for end in (".j", ".t", _NO_SIZE, ".d", "", ".c")],
        args=[part.task_id, result, int(backend._chord_zset), index, *seconds, *_NO_CLAIM],  # noqa: SLF001
        client=pipe,
    )
    pipe.mget(keys[".s"], keys[".t"])


def _is_over(counted: Any, sizes: Any) -> bool:
    """Whether Celery would do no more than count, by both answers; where one is an error, Celery shall meet it."""
    if isinstance(counted, ResponseError) or isinstance(sizes, ResponseError):
        return False
    size, added = sizes
    return size is None or counted[0] != int(size) + int(added or 0)
