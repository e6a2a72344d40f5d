"""HEIC and AVIF, which phones write and no provider reads: made a JPEG before anything else looks at them.

Pillow reads AVIF by itself, HEIC with the extra `heic` (pillow-heif). Both are bounded as other pictures are: by their
pixels before anything is decoded, and by the budget of all decodes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from PIL import Image, UnidentifiedImageError, features

from workers.images.decoding import BUDGET, MAX_DECODED_BYTES, MEGABYTE, orientation, upright
from workers.images.fit import as_jpeg
from workers.images.headers import MAX_PIXELS, Picture, header
from workers.images.roots import EVERYWHERE, NotAFileError, OutsideRootsError, Roots
from workers.images.segments import BadPictureError

PIXEL_BYTES: Final = 8  # that a decoder takes for each: the planes of its own, and Pillow's

_BEGINNING: Final = 12  # bytes that say what kind of picture it is
_BRANDS: Final = (
    (re.compile(rb".{4}ftyp(?:avif|avis)", re.DOTALL), "AVIF"),
    (re.compile(rb".{4}ftyp(?:hei|hev|mif|msf)", re.DOTALL), "HEIF"),
)
#: Pillow's names of the formats, and people's.
_NAMES: Final = {"AVIF": "AVIF", "HEIF": "HEIC"}
_MEDIA_TYPES: Final = {"AVIF": "image/avif", "HEIF": "image/heic"}
_ENDINGS: Final = {"AVIF": frozenset({".avif"}), "HEIF": frozenset({".heic", ".heif", ".hif"})}


@cache
def readable() -> frozenset[str]:
    """The kinds that this installation reads."""
    kinds = {"AVIF"} if features.check("avif") else set()
    if find_spec("pillow_heif"):
        import_module("pillow_heif").register_heif_opener()
        kinds.add("HEIF")
    return frozenset(kinds)


def endings() -> frozenset[str]:
    """The extensions of their files."""
    return frozenset().union(*(_ENDINGS[kind] for kind in readable()))


def local_header(path: Path, roots: Roots = EVERYWHERE) -> Picture:
    """`headers.header` for a local file, which may also be one of these.

    Raises:
        BadPictureError: as `headers.header`, and for an animated or too large one.
    """
    try:
        with roots.open(path) as file:
            kind = _kind(file.read(_BEGINNING))
            if kind is not None:
                file.seek(0)
                with _opened(file, kind) as (_, picture):
                    return picture
    except (OSError, OutsideRootsError, NotAFileError, ValueError):
        pass  # `header` says what it is
    return header(path, roots)


def converted(data: bytes) -> bytes:
    """A HEIC or AVIF as an upright JPEG in sRGB; anything else as it is.

    Raises:
        BadPictureError: it is damaged, animated, or too large.
    """
    kind = _kind(data[:_BEGINNING])
    if kind is None:
        return data
    with _opened(io.BytesIO(data), kind) as (image, picture), BUDGET.taken(_bytes(picture)):
        image.load()
        return as_jpeg(upright(image, orientation(image)))


def _kind(beginning: bytes) -> str | None:
    found = next((kind for pattern, kind in _BRANDS if pattern.match(beginning)), None)
    return found if found in readable() else None


@contextmanager
def _opened(file: IO[bytes], kind: str) -> Iterator[tuple[Image.Image, Picture]]:
    try:
        with Image.open(file, formats=(kind,)) as image:
            yield image, _bounded(image, kind)
    except (BadPictureError, MemoryError):
        raise
    except UnidentifiedImageError:  # its text is of the object that was read
        raise BadPictureError(f"the {_NAMES[kind]} is damaged: it cannot be decoded") from None
    except Exception as error:  # decoders meet damaged data with exceptions of every kind
        raise BadPictureError(f"the {_NAMES[kind]} is damaged: {error}") from error


def _bounded(image: Image.Image, kind: str) -> Picture:
    animated = kind == "AVIF" and bool(getattr(image, "is_animated", False))
    if animated:
        raise BadPictureError("this is an animated AVIF; a still picture is needed")
    picture = Picture(_MEDIA_TYPES[kind], image.width, image.height, kind, animated, image.mode)
    if picture.width * picture.height > MAX_PIXELS or _bytes(picture) > MAX_DECODED_BYTES:
        most = MAX_DECODED_BYTES // PIXEL_BYTES // MEGABYTE
        raise BadPictureError(f"it has {picture.width} x {picture.height} pixels; allowed: {most} megapixels")
    return picture


def _bytes(picture: Picture) -> int:
    return picture.width * picture.height * PIXEL_BYTES
