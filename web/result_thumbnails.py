"""Thumbnails of results: made from the stored picture when a page first shows it, then stored beside it.

Most pictures of a large batch are never looked at one by one, so the pumps make none.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from sqlalchemy.orm import Session, sessionmaker
from starlette.concurrency import run_in_threadpool

from reports import cards
from web.input_thumbnails import NoPictureError
from web.media import Media
from workers.images.decoders import Decoders
from workers.images.headers import inspect
from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.segments import BadPictureError
from workers.images.storage import SUFFIXES, StorageError
from workers.images.thumbnails import thumbnail
from workers.operations.erase import unclaimed


class _Thumbnail(NamedTuple):
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

    async def key(self, result_id: int) -> str | None:
        """The storage key of a result's thumbnail; None where there is no such result.

        Raises:
            NoPictureError: the stored picture cannot be read or decoded, or its thumbnail not be stored.
        """
        row = await run_in_threadpool(self._row, result_id)
        if row is None or row.thumbnail_key:
            return row and str(row.thumbnail_key)
        # Two who look at the same time make the same file.
        try:
            data = await self._media.aside(partial(self._media.storage.get, row.key))
            made = await self._decoders.run(partial(_shrunk, data, row.kind if row.marked else None))
            key = await self._media.aside(partial(self._put, made))
        except (BadPictureError, StorageError) as error:
            raise NoPictureError(str(error)) from error
        if not await run_in_threadpool(self._keep, result_id, key):
            await self._media.aside(partial(self._media.storage.remove, key))
        return key

    def _put(self, made: _Thumbnail) -> str:
        digest = sha256(made.data).hexdigest()
        return self._media.storage.put(made.data, sha256=digest, suffix=SUFFIXES[made.media_type])

    def _row(self, result_id: int) -> Any:
        with self._sessions() as session:
            return cards.to_shrink(session, result_id)

    def _keep(self, result_id: int, key: str) -> bool:
        """Name the thumbnail in the result's row; False where that was removed meanwhile, and no other row names it."""
        with self._sessions.begin() as session:
            return cards.keep_thumbnail(session, result_id, key) or not unclaimed(session, [key])


def _shrunk(data: bytes, kind: str | None) -> _Thumbnail:
    """A small copy, which says what made it where the picture does."""
    small = thumbnail(data)
    media_type = inspect(small).media_type
    return _Thumbnail(marked(small, media_type, SOURCE_TYPES[kind]) if kind else small, media_type)
