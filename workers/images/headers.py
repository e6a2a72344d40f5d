"""What a picture's bytes say of it, read without decoding a pixel.

Names, extensions and Content-Type headers are never trusted. `inspect` reads the header of bytes, `header` that of a
file on disk (a catalog's validation); both are safe to call from several threads at once, and raise `BadPictureError`
for anything that is not a usable picture.

JPEG, PNG and WebP are supported: what providers produce, and what PiktID's face swap guide says may be uploaded.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from PIL import Image, UnidentifiedImageError

from workers.images.roots import EVERYWHERE, NotAFileError, OutsideRootsError, Roots
from workers.images.segments import MAX_PARTS, BadPictureError

MAX_PIXELS: Final = 100_000_000  # the largest cameras make 100 megapixels; decoded that is 300 to 400 MB

# A picture larger than this must not decompress to more than `_MAX_EXPANSION` bytes per byte of the file. Photos have
# 5 to 60; PNG and WebP made to exhaust memory have 1,000 and more.
_FREE_PIXELS = 20_000_000
_MAX_EXPANSION = 400

_MEDIA_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_SEVERAL_JPEGS = "MPO"  # a JPEG with further pictures behind it, as many phones write; its first is the photo

MAX_READS: Final = (
    8 * MAX_PARTS
)  # of a file, until its header is known and all of it decoded: Pillow reads a part in up to eight

# Content that people and servers often give instead of a picture, with its name for the message.
_STRANGERS: Final = (
    (re.compile(rb"GIF8[79]a"), "a GIF"),
    (re.compile(rb"BM.{12}", re.DOTALL), "a BMP"),
    (re.compile(rb"II\*\0|MM\0\*"), "a TIFF"),
    (re.compile(rb".{4}ftyp(?:avif|avis)", re.DOTALL), "an AVIF"),
    (re.compile(rb".{4}ftyp(?:hei|hev|mif|msf)", re.DOTALL), "a HEIC"),
    (re.compile(rb".{4}ftyp", re.DOTALL), "a video"),
    (re.compile(rb"%PDF"), "a PDF"),
    (re.compile(rb"PK\x03\x04"), "a ZIP archive"),
    (re.compile(rb"\s*<(?:!doctype html|html|head|body|script)", re.IGNORECASE), "a web page"),
    (re.compile(rb"\s*<(?:.*<)?(?:!doctype )?svg", re.IGNORECASE | re.DOTALL), "an SVG"),
    (re.compile(rb"\s*<"), "an XML document, often a storage service's error message"),
    (re.compile(rb'\s*[\[{]\s*["\]}]'), "a JSON document, often an error message"),
    (re.compile(rb"[\t\n\r\x20-\x7e]+\Z"), "text"),
)
_LONGEST_PROLOGUE = 1024  # bytes checked for the patterns above

# Pillow warns of large pictures instead of refusing them, and only above a limit of its own. Ours, as an error; set for
# the process because `warnings.catch_warnings` is not safe with threads before Python 3.14.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True)
class Picture:
    """What a file's bytes say of it. Width and height are pixels as stored, before any rotation that EXIF asks for."""

    media_type: str
    width: int
    height: int
    format: str
    animated: bool
    mode: str


def inspect(data: bytes) -> Picture:
    """Read the header of a picture without decoding it.

    Raises:
        BadPictureError: empty, not a JPEG, PNG or WebP, a damaged header, or too many pixels.
    """
    if not data:
        raise BadPictureError("the file is empty")
    _require_known(data[:_LONGEST_PROLOGUE])
    return _read_header(io.BytesIO(data), len(data))


def header(source: bytes | Path, roots: Roots = EVERYWHERE) -> Picture:
    """`inspect` for bytes or a local file, of which only the beginning is read.

    Raises:
        BadPictureError: as `inspect`, and for a file that is missing, unreadable, outside `roots`, or no regular file.
    """
    if isinstance(source, bytes):
        return inspect(source)
    try:
        with roots.open(source) as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if not size:
                raise BadPictureError("the file is empty")
            _require_known(file.read(_LONGEST_PROLOGUE))
            file.seek(0)
            return _read_header(file, size)
    except FileNotFoundError as error:
        raise BadPictureError("the file does not exist") from error
    except OutsideRootsError as error:
        raise BadPictureError(f"the file cannot be used: {error}") from error
    except NotAFileError as error:
        raise BadPictureError(f"this is a {error.kind}, not a file") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise BadPictureError(f"the file cannot be read: {reason or error}") from error


class _Patience(io.RawIOBase):
    """A file that ends the patience with a reader that comes back too often: one of millions of tiny parts."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._left = file, MAX_READS

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise BadPictureError(f"the picture has more than {MAX_PARTS:,} parts, more than any real picture")
        return self._file.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


@contextmanager
def pillow_image(file: IO[bytes]) -> Iterator[Image.Image]:
    """Pillow's image, with every exception of its decoders on damaged data as `BadPictureError`."""
    try:
        with Image.open(cast("IO[bytes]", _Patience(file)), formats=tuple(_MEDIA_TYPES)) as image:
            yield image
    except UnidentifiedImageError as error:
        raise BadPictureError("the file begins like a picture, but its header is damaged") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise BadPictureError(f"the picture has more than {MAX_PIXELS:,} pixels") from error
    except (BadPictureError, MemoryError):
        raise
    except Exception as error:  # decoders meet damaged data with exceptions of every kind
        raise BadPictureError(f"the picture is damaged: {error}") from error


def _read_header(file: IO[bytes], size: int) -> Picture:
    with pillow_image(file) as image:
        name = "JPEG" if image.format == _SEVERAL_JPEGS else str(image.format)
        animated = name != "JPEG" and bool(getattr(image, "is_animated", False))
        picture = Picture(_MEDIA_TYPES[name], image.width, image.height, name, animated, image.mode)
    pixels = picture.width * picture.height
    if not pixels:
        raise BadPictureError("the picture has no pixels")
    if pixels > MAX_PIXELS:
        raise BadPictureError(f"the picture has {pixels:,} pixels, more than {MAX_PIXELS:,}")
    expansion = pixels * Image.getmodebands(picture.mode) / size
    if pixels > _FREE_PIXELS and expansion > _MAX_EXPANSION:
        raise BadPictureError(
            f"the picture would decompress to {expansion:,.0f} times its size; at most {_MAX_EXPANSION} is allowed"
        )
    return picture


def _require_known(beginning: bytes) -> None:
    if beginning.startswith((b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n")) or (
        beginning.startswith(b"RIFF") and beginning[8:12] == b"WEBP"
    ):
        return
    text = beginning.removeprefix(b"\xef\xbb\xbf")  # a byte order mark
    for pattern, name in _STRANGERS:
        if pattern.match(text):
            raise BadPictureError(f"this is {name}; supported: JPEG, PNG, WebP")
    raise BadPictureError("this is not a picture; supported: JPEG, PNG, WebP")
