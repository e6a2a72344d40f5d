"""A result's files, the same for pages and programs: as it is stored, smaller copies, and as its provider made it."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from desk.actors import Actor
from models.people import Role
from models.transactions import Database
from reports import cards
from reports.cards import Rendition
from web.media import Media
from web.result_thumbnails import Copy, ResultThumbnails
from workers.images.decoders import Decoders

CACHE = "private, max-age=86400, immutable"  # a result never changes


class ResultFiles:
    """Serves the files of results.

    Args:
        database: knows where they are.
        media: the storage where they are.
        decoders: the threads in which smaller copies are made.
    """

    def __init__(self, database: Database, media: Media, decoders: Decoders) -> None:
        self._database, self._media = database, media
        self._copies = ResultThumbnails(database.sessions, media, decoders)

    async def answer(
        self, actor: Actor, result_id: int, which: Rendition, *, with_body: bool = True
    ) -> Response | None:
        """The file; None where there is none. The caller has checked that `actor` may see the result.

        Raises:
            ForbiddenError: it is the provider's own file, which only reviewers see.
            NoPictureError: a copy cannot be made.
            StorageError: the storage does not answer.
        """
        if which is Rendition.ORIGINAL:
            actor.need(Role.REVIEWER, "see a provider's own file")
        found = await self._found(result_id, which)
        if found is None:
            return None
        if isinstance(found, Copy):
            return Response(found.data, media_type=found.media_type, headers={"Cache-Control": CACHE})
        return await self._media.file(found.key, CACHE, with_body=with_body, without=found.mark)

    async def _found(self, result_id: int, which: Rendition) -> cards.File | Copy | None:
        if which is Rendition.SMALL:
            key = await self._copies.key(result_id)
            return None if key is None else cards.File(key)
        if which is Rendition.LARGE:
            return await self._copies.large(result_id)
        original = which is Rendition.ORIGINAL
        return await run_in_threadpool(self._database.db, cards.result_file, result_id, original=original)
