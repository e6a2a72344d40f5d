"""The maker of real pictures: it fetches the inputs and runs the face engine, in two threads.

An input's address is a URL, a `data:` URL (RFC 2397, in base64), or the `kept:` name of bytes that came with a request.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from providers.http import Client, HTTPError, InvalidURL
from sandbox.cartoon import cartoon
from sandbox.pictures import encode
from sandbox.recipes import Portraits, Recipe, Swap
from sandbox.transport import trusted

if TYPE_CHECKING:
    from faces.pictures import Picture

THREADS = 2  # the engine keeps a core busy; with more, a small machine would answer its polls late
FETCH_SECONDS = 20.0  # for each step of fetching an input; the providers publish no figure
MIN_FACE = 40  # pixels of a face's width; below, there is too little of it to work with
KEPT = "kept:"
MAX_INPUT_BYTES = 32 * 1024 * 1024  # an input is a photo


class UnusableInputError(Exception):
    """An input cannot be worked with: `code` is "unreadable" or "no_face", and the message names the input."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Box(NamedTuple):
    """A face, in parts of the picture's sides, and whether it is large enough to be worked with."""

    left: float
    top: float
    width: float
    height: float
    large: bool


class Studio:
    """Makes the files of jobs under `home`, away from the event loop; with `keep`, inputs are stored there as well."""

    def __init__(self, home: Path, *, keep: bool) -> None:
        self._folder = home / "files"
        self._inputs = home / "inputs"
        for folder in (self._folder, self._inputs):
            folder.mkdir(parents=True, exist_ok=True)
        self._keep = keep
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="studio")
        self._http = Client(timeout=FETCH_SECONDS, follow_redirects=True, trust_env=False, verify=trusted())

    def close(self) -> None:
        """Drop the jobs not begun, which a restart takes up again, and finish the others."""
        self.threads.shutdown(cancel_futures=True)
        self._http.close()

    def path(self, number: int, index: int) -> Path:
        """Return where picture `index` of job `number` lies."""
        return self._folder / f"{number}-{index}"

    def keep(self, data: bytes) -> str:
        """Return an address for bytes that came with a request, under which `fetch` finds them if they are kept."""
        name = hashlib.sha256(data).hexdigest()
        path = self._inputs / name
        if self._keep and not path.exists():
            unfinished = path.with_suffix(f".{threading.get_ident()}")
            unfinished.write_bytes(data)
            unfinished.replace(path)
        return KEPT + name

    def boxes(self, data: bytes) -> list[Box]:
        """Return the faces in a picture, from left to right.

        Raises:
            UnusableInputError: the bytes are not a picture.
        """
        from faces import NotAPictureError, decode, detect  # noqa: PLC0415 (the engine is optional, and loads models)

        try:
            picture = decode(data)
        except NotAPictureError as error:
            raise UnusableInputError("unreadable", str(error)) from error
        height, width = picture.shape[:2]
        return [
            Box(face.x / width, face.y / height, face.width / width, face.height / height, face.width >= MIN_FACE)
            for face in detect(picture)
        ]

    def fetch(self, role: str, url: str) -> bytes:
        """Return the bytes of an input; `role` names it in errors.

        Raises:
            UnusableInputError: there is nothing at this address, or too much.
        """
        if url.startswith(KEPT):
            path = self._inputs / Path(url).name.removeprefix(KEPT)
            if not path.exists():
                raise UnusableInputError("unreadable", f"there is no {role} picture {url}")
            return path.read_bytes()
        if url.startswith("data:"):
            try:
                return base64.b64decode(url.partition(",")[2], validate=True)
            except binascii.Error as error:
                raise UnusableInputError("unreadable", f"the {role} picture is not base64: {error}") from error
        data = bytearray()
        try:
            with self._http.stream("GET", url) as answer:
                answer.raise_for_status()
                for block in answer.iter_bytes():
                    data += block
                    if len(data) > MAX_INPUT_BYTES:
                        raise UnusableInputError("unreadable", f"the {role} picture is over {MAX_INPUT_BYTES} bytes")
        except (HTTPError, InvalidURL) as error:
            raise UnusableInputError("unreadable", f"the {role} picture cannot be fetched: {error}") from error
        return bytes(data)

    def make(self, number: int, recipe: Recipe) -> None:
        """Make the pictures of job `number`; runs in one of `threads`.

        Raises:
            UnusableInputError: the job must fail for its inputs.
        """
        from faces import NoFaceError  # noqa: PLC0415 (the engine is optional, and loads models)

        try:
            for index, picture in enumerate(
                self._swap(recipe) if isinstance(recipe, Swap) else self._portraits(recipe)
            ):
                path = self.path(number, index)
                unfinished = path.with_suffix(".part")
                quality = recipe.quality if isinstance(recipe, Portraits) else 95
                unfinished.write_bytes(encode(picture, recipe.form, quality=quality))
                unfinished.replace(path)
        except NoFaceError as error:
            raise UnusableInputError("no_face", str(error)) from error

    def _swap(self, recipe: Swap) -> Iterator[Picture]:
        from faces import swap  # noqa: PLC0415 (as above)

        source, target = self._input("source", recipe.source), self._input("target", recipe.target)
        if recipe.second is None:
            yield swap(source, target, target_face=recipe.face, head=recipe.head)
            return
        first = swap(source, target, target_face=0, head=recipe.head)
        yield swap(self._input("second source", recipe.second), first, target_face=1, head=recipe.head)

    def _portraits(self, recipe: Portraits) -> Iterator[Picture]:
        import numpy as np  # noqa: PLC0415 (as above)

        from faces import cutout, flatten, portrait  # noqa: PLC0415 (as above)

        reference = self._input("reference", recipe.reference)
        for index in range(recipe.pictures):
            picture = portrait(
                reference,
                prompt=recipe.prompt,
                width=recipe.width,
                height=recipe.height,
                seed=recipe.seed + index,
            )
            if recipe.cutout:
                picture = cutout(picture)  # before it is drawn: the outline of the photo is the better one
            if recipe.cartoon:
                picture = np.dstack([cartoon(picture[:, :, :3]), picture[:, :, 3:]])
            if recipe.cutout and recipe.background is not None:
                picture = flatten(picture, recipe.background)
            yield picture

    def _input(self, role: str, url: str) -> Picture:
        """Fetch and decode one input, upright and without alpha."""
        from faces import NotAPictureError, decode  # noqa: PLC0415 (as above)

        try:
            return decode(self.fetch(role, url))
        except NotAPictureError as error:
            raise UnusableInputError("unreadable", f"the {role} is not a picture: {error}") from error
