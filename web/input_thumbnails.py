"""Thumbnails of input pictures, for the gallery: made when a page first shows them, then cached."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool

from workers.cache import Cache
from workers.http.client import HttpClient, TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.images.download import DownloadError, fetch
from workers.images.inputs import BadInputError, Inputs, InputTroubleError
from workers.images.segments import BadPictureError
from workers.images.thumbnails import thumbnail

CACHED = 512  # thumbnails, of about 15 KB each
AT_ONCE = 3  # pictures decoded at the same time: a page requests dozens
FETCH_SECONDS = 15.0


class NoPictureError(Exception):
    """The picture cannot be shown."""


class InputThumbnails:
    """Makes thumbnails of input pictures.

    Args:
        inputs: reads pictures from this machine and from object storage, as workers do.
        client: fetches pictures named by URL; its guard blocks addresses that are not public.
    """

    def __init__(self, inputs: Inputs, client: HttpClient) -> None:
        self._inputs, self._client = inputs, client
        self._made: Cache[str, bytes] = Cache(CACHED)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def thumbnail(self, role: str, uri: str) -> bytes:
        """The thumbnail of the picture at `uri`, a JPEG or WebP.

        Raises:
            NoPictureError: the picture cannot be read or decoded.
        """
        return await self._made.get_or_await(uri, lambda: self._make(role, uri))

    async def _make(self, role: str, uri: str) -> bytes:
        async with self._places:
            return await self._shrunk(role, uri)

    async def _shrunk(self, role: str, uri: str) -> bytes:
        try:
            if uri.lower().startswith(("http://", "https://")):
                data = await fetch(self._client, uri, timeout=FETCH_SECONDS)
                return await run_in_threadpool(thumbnail, data)
            return await run_in_threadpool(lambda: thumbnail(self._inputs.read(role, uri).data))
        except (
            BadInputError, BadPictureError, DownloadError, ForbiddenAddressError, InputTroubleError, TooLargeError,
        ) as error:  # fmt: skip
            raise NoPictureError(str(error)) from error
