"""Thumbnails of input pictures, for the gallery: made when a page first shows them, then cached."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from desk.actors import Actor
from workers.cache import Cache
from workers.http.client import HttpClient, TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.images.decoders import Decoders
from workers.images.download import DownloadError, fetch
from workers.images.inputs import BadInputError, Inputs, InputTroubleError
from workers.images.segments import BadPictureError
from workers.images.thumbnails import THUMBNAIL_SIDE, thumbnail

CACHED = 512  # thumbnails, of about 15 KB each
LARGE_SIDE = 1_600  # pixels; a picture in the whole window, beside the result
LARGE_CACHED = 64  # of these, of about 300 KB each
FETCHES = 8  # pictures read at the same time: none of those that hang holds up the decoding of others
FETCH_SECONDS = 15.0
FAILED_SECONDS = 60.0  # for which a picture that failed is not tried again


class NoPictureError(Exception):
    """The picture cannot be shown."""

    def said_to(self, actor: Actor) -> str:
        """Why; where it lies is for those alone who see addresses."""
        return str(self) if actor.sees_money else "this picture cannot be shown"


class InputThumbnails:
    """Makes thumbnails of input pictures.

    Args:
        inputs: reads pictures from this machine and from object storage, as workers do.
        client: fetches pictures named by URL; its guard blocks addresses that are not public.
        decoders: the threads that decode pictures.
    """

    def __init__(self, inputs: Inputs, client: HttpClient, decoders: Decoders) -> None:
        self._inputs, self._client, self._decoders = inputs, client, decoders
        self._made: Cache[str, bytes] = Cache(CACHED)
        self._large: Cache[str, bytes] = Cache(LARGE_CACHED)
        self._failed: Cache[str, str] = Cache(CACHED, FAILED_SECONDS)
        self._fetching = asyncio.Semaphore(FETCHES)
        # A file system that hangs holds these threads, and none of those that use the database.
        self._threads = ThreadPoolExecutor(FETCHES, "inputs")

    async def thumbnail(self, role: str, uri: str, side: int = THUMBNAIL_SIDE) -> bytes:
        """A copy of the picture at `uri` of at most `side` pixels (`THUMBNAIL_SIDE`, `LARGE_SIDE`), a JPEG or WebP.

        Raises:
            NoPictureError: the picture cannot be read or decoded, or could not be a moment ago.
        """
        failure = self._failed.get(uri)
        if failure is not None:
            raise NoPictureError(failure)
        kept = self._large if side > THUMBNAIL_SIDE else self._made
        return await kept.get_or_await(uri, lambda: self._make(role, uri, side))

    async def _make(self, role: str, uri: str, side: int) -> bytes:
        try:
            async with self._fetching:
                data = await self._fetched(role, uri)
            return await self._decoders.run(partial(thumbnail, data, side))
        except (
            BadInputError, BadPictureError, DownloadError, ForbiddenAddressError, InputTroubleError, TooLargeError,
        ) as error:  # fmt: skip
            raise NoPictureError(self._failed.put(uri, str(error))) from error
        except TimeoutError as error:
            message = f"the picture was not read within {FETCH_SECONDS:g} s"
            raise NoPictureError(self._failed.put(uri, message)) from error

    async def _fetched(self, role: str, uri: str) -> bytes:
        if uri.lower().startswith(("http://", "https://")):
            return await fetch(self._client, uri, timeout=FETCH_SECONDS)
        async with asyncio.timeout(FETCH_SECONDS):
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._threads, lambda: self._inputs.read(role, uri).data)
