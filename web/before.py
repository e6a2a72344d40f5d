"""Small copies of the pictures that jobs name, for the gallery: made when they are first looked at, then remembered."""

from __future__ import annotations

import asyncio

from starlette.concurrency import run_in_threadpool

from workers.cache import Cache
from workers.http.client import HttpClient, TooLargeError
from workers.http.ssrf import ForbiddenAddressError
from workers.images.download import DownloadError, fetch
from workers.images.inputs import BadInputError, Inputs, InputTroubleError
from workers.images.verify import BadPictureError, thumbnail

REMEMBERED = 512  # small copies, of about 15 KB each
AT_ONCE = 3  # pictures decoded side by side: a page asks for dozens
FETCH_SECONDS = 15.0


class NoPictureError(Exception):
    """The picture cannot be shown."""


class Before:
    """Makes small copies.

    Args:
        inputs: reads pictures of this machine and of object storage, as workers do.
        client: fetches those named by URL; its guard keeps it off what is not public.
    """

    def __init__(self, inputs: Inputs, client: HttpClient) -> None:
        self._inputs, self._client = inputs, client
        self._made: Cache[str, bytes] = Cache(REMEMBERED)
        self._places = asyncio.Semaphore(AT_ONCE)

    async def small(self, role: str, uri: str) -> bytes:
        """The small copy of the picture at `uri`, a JPEG or WebP.

        Raises:
            NoPictureError: there is none that can be shown.
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
