"""Thumbnails of results: made from the stored picture when a page first shows it, then stored beside it.

Most pictures of a large batch are never looked at one by one, so the pumps make none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import text
from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from web.input_thumbnails import NoPictureError
from workers.images.decoders import Decoders
from workers.images.headers import inspect
from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.segments import BadPictureError
from workers.images.storage import SUFFIXES, Storage, StorageError
from workers.images.thumbnails import thumbnail
from workers.operations.erase import unclaimed

T = TypeVar("T")

READS = 8  # pictures read and written at the same time

_RESULT = text("""
    SELECT r.key, r.thumbnail_key, r.original_sha256 IS DISTINCT FROM r.sha256 AS marked, j.kind
    FROM results r JOIN jobs j ON j.id = r.job_id WHERE r.id = :id
""")
_KEEP = text("UPDATE results SET thumbnail_key = :key WHERE id = :id")


class _Thumbnail(NamedTuple):
    data: bytes
    media_type: str


class ResultThumbnails:
    """Makes and stores thumbnails of results.

    Args:
        sessions: sessions of the database.
        storage: where the results are.
        decoders: the threads that decode pictures.
    """

    def __init__(self, sessions: sessionmaker[Session], storage: Storage, decoders: Decoders) -> None:
        self._sessions, self._storage, self._decoders = sessions, storage, decoders
        # A storage that hangs holds these threads, and none of those that use the database.
        self._threads = ThreadPoolExecutor(READS, "results")
        self._made: dict[int, asyncio.Task[str]] = {}

    async def key(self, result_id: int) -> str | None:
        """The storage key of a result's thumbnail; None where there is no such result.

        Raises:
            NoPictureError: the stored picture cannot be read or decoded, or its thumbnail not be stored.
        """
        row = await run_in_threadpool(self._row, result_id)
        if row is None or row.thumbnail_key:
            return row and str(row.thumbnail_key)
        # Two pages that show the same picture wait for one thumbnail.
        task = self._made.get(result_id)
        if task is None:
            task = self._made[result_id] = asyncio.create_task(self._make(result_id, row))
            task.add_done_callback(lambda _: self._made.pop(result_id, None))
        return await asyncio.shield(task)

    async def _make(self, result_id: int, row: Any) -> str:
        try:
            data = await self._aside(partial(self._storage.get, row.key))
            made = await self._decoders.run(partial(_shrunk, data, row.kind if row.marked else None))
            key = await self._aside(partial(self._put, made))
        except (BadPictureError, StorageError) as error:
            raise NoPictureError(str(error)) from error
        if not await run_in_threadpool(self._keep, result_id, key):
            await self._aside(partial(self._storage.remove, key))  # the result was removed meanwhile
        return key

    def _put(self, made: _Thumbnail) -> str:
        digest = sha256(made.data).hexdigest()
        return self._storage.put(made.data, sha256=digest, suffix=SUFFIXES[made.media_type])

    def _row(self, result_id: int) -> Any:
        with self._sessions() as session:
            return session.execute(_RESULT, {"id": result_id}).first()

    def _keep(self, result_id: int, key: str) -> bool:
        """Name the thumbnail in the result's row; False where no row names it."""
        with self._sessions.begin() as session:
            session.execute(_KEEP, {"id": result_id, "key": key})
            return not unclaimed(session, [key])

    async def _aside(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def _shrunk(data: bytes, kind: str | None) -> _Thumbnail:
    """A small copy, which says what made it where the picture does."""
    small = thumbnail(data)
    media_type = inspect(small).media_type
    return _Thumbnail(marked(small, media_type, SOURCE_TYPES[kind]) if kind else small, media_type)
