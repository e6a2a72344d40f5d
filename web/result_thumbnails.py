"""Copies of results for pages: thumbnails, stored beside the picture, and copies for a whole window, kept in memory.

They are made when a page first shows them: most pictures of a large batch are never looked at one by one.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from reports import cards
from web.input_thumbnails import LARGE_CACHED, LARGE_SIDE, NoPictureError
from web.media import Media
from workers.cache import Cache
from workers.images.decoders import Decoders
from workers.images.headers import inspect
from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.segments import BadPictureError
from workers.images.storage import SUFFIXES, StorageError
from workers.images.thumbnails import THUMBNAIL_SIDE, thumbnail
from workers.operations.erase import unclaimed


class Copy(NamedTuple):
    """A smaller copy of a picture."""

    data: bytes
    media_type: str


class ResultThumbnails:
    """Makes and stores thumbnails of results.

    Args:
        sessions: sessions of the database.
        media: the storage where the results are, and the threads that read it.
        decoders: the threads that decode pictures.
    """

    def __init__(self, sessions: sessionmaker[Session], media: Media, decoders: Decoders) -> None:
        self._sessions, self._media, self._decoders = sessions, media, decoders
        self._large: Cache[int, Copy] = Cache(LARGE_CACHED)

    async def key(self, result_id: int) -> str | None:
        """The storage key of a result's thumbnail; None where there is no such result.

        Raises:
            NoPictureError: the stored picture cannot be read or decoded, or its thumbnail not be stored.
        """
        row = await run_in_threadpool(self._row, result_id)
        if row is None or row.thumbnail_key:
            return row and str(row.thumbnail_key)
        # Two who look at the same time make the same file.
        made = await self._made(row, THUMBNAIL_SIDE)
        try:
            key = await self._media.aside(partial(self._put, made))
        except StorageError as error:
            raise NoPictureError(str(error)) from error
        if not await run_in_threadpool(self._keep, result_id, key):
            await self._media.aside(partial(self._media.storage.remove, key))
        return key

    async def large(self, result_id: int) -> Copy | cards.File | None:
        """A result for a whole window: a copy, or its file where that is small; None where it does not exist.

        Raises:
            NoPictureError: the stored picture cannot be read or decoded.
        """
        row = await run_in_threadpool(self._row, result_id)
        if row is None:
            return None
        if max(row.width, row.height) <= LARGE_SIDE:
            return cards.File(row.key)
        return await self._large.get_or_await(result_id, lambda: self._made(row, LARGE_SIDE))

    async def _made(self, row: Any, side: int) -> Copy:
        try:
            data = await self._media.aside(partial(self._media.storage.get, row.key))
            return await self._decoders.run(partial(_shrunk, data, row.kind if row.marked else None, side))
        except (BadPictureError, StorageError) as error:
            raise NoPictureError(str(error)) from error

    def _put(self, made: Copy) -> str:
        digest = sha256(made.data).hexdigest()
        return self._media.storage.put(made.data, sha256=digest, suffix=SUFFIXES[made.media_type])

    def _row(self, result_id: int) -> Any:
        with self._sessions() as session:
            return cards.to_shrink(session, result_id)

    def _keep(self, result_id: int, key: str) -> bool:
        """Name the thumbnail in the result's row; False where that was removed meanwhile, and no other row names it."""
        with self._sessions.begin() as session:
            return cards.keep_thumbnail(session, result_id, key) or not unclaimed(session, [key])


def _shrunk(data: bytes, kind: str | None, side: int) -> Copy:
    """A small copy, which says what made it where the picture does."""
    small = thumbnail(data, side)
    media_type = inspect(small).media_type
    return Copy(marked(small, media_type, SOURCE_TYPES[kind]) if kind else small, media_type)
