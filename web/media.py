"""Stored pictures at signed links, ``/media/<expires>/<signature>/<key>``; see `workers.images.signed_urls`."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import PurePosixPath
from typing import IO, TypeVar

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from workers.images.originals import Mark, pieces
from workers.images.signed_urls import BadLinkError, MediaSigner
from workers.images.storage import Storage, StorageError

T = TypeVar("T")

THREADS = 16  # that read files: a storage that hangs holds these, and none of those that use the database

#: By the extensions that our storage gives its files after it checked their bytes.
MEDIA_TYPES: Mapping[str, str] = {
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}


class Media:
    """Serves the files that signed links name."""

    def __init__(self, signer: MediaSigner, storage: Storage) -> None:
        self._signer = signer
        self.storage = storage
        self._threads = ThreadPoolExecutor(THREADS, "media")

    async def show(self, request: Request) -> Response:
        """Stream the file; 403 for a forged or expired link, 404 for a removed file, 503 if the storage is down.

        The signature covers the key, so only keys that we signed reach the storage.
        """
        expires, key = request.path_params["expires"], request.path_params["key"]
        try:
            self._signer.check(expires, request.path_params["signature"], key)
        except BadLinkError as error:
            return PlainTextResponse(f"this link cannot be used: {error}\n", 403, _plain())
        left = max(0, int(expires) - int(time.time()))
        return await self.serve(key, f"private, max-age={left}, immutable", with_body=request.method != "HEAD")

    async def serve(
        self,
        key: str,
        cache: str,
        *,
        with_body: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> Response:
        """`file`, where that it is not there, or that the storage is down, is an answer too."""
        try:
            found = await self.file(key, cache, with_body=with_body, more=more)
        except StorageError:
            return storage_down()
        return found or PlainTextResponse("this file does not exist\n", 404, _plain())

    async def file(
        self,
        key: str,
        cache: str,
        *,
        with_body: bool = True,
        without: Mark | None = None,
        more: Mapping[str, str] | None = None,
    ) -> Response | None:
        """Stream the file `key` with `cache` as its Cache-Control; the caller has checked that it may be read.

        The mark `without` is left out, so that the picture is as its provider made it; `more` are further headers.

        Returns:
            None where it does not exist.

        Raises:
            StorageError: the storage does not answer.
        """
        size = await self.aside(lambda: self._size(key))
        if size is None:
            return None
        headers = {
            "Cache-Control": cache,
            "Content-Length": str(size - (without.length if without else 0)),
            "Accept-Ranges": "none",
            "X-Content-Type-Options": "nosniff",
            **(more or {}),
        }
        media_type = MEDIA_TYPES.get(PurePosixPath(key).suffix, "application/octet-stream")
        if not with_body:
            return Response(headers=headers, media_type=media_type)
        return StreamingResponse(self._chunks(key, without), headers=headers, media_type=media_type)

    def _size(self, key: str) -> int | None:
        if not self.storage.exists(key):
            return None
        with self.storage.open(key) as file:
            return file.seek(0, io.SEEK_END)

    async def _chunks(self, key: str, without: Mark | None) -> AsyncIterator[bytes]:
        with ExitStack() as stack:
            file: IO[bytes] = await self.aside(lambda: stack.enter_context(self.storage.open(key)))
            chunks = pieces(file, without)
            while (chunk := await self.aside(lambda: next(chunks, None))) is not None:
                yield chunk

    async def aside(self, work: Callable[[], T]) -> T:
        """Run `work` that reads or writes files in one of the threads for it."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def storage_down() -> Response:
    """The answer while the storage does not answer."""
    return PlainTextResponse("the storage does not answer\n", 503, _plain())


def _plain() -> dict[str, str]:
    return {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
