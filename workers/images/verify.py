"""Checks of pictures by their bytes alone; names, extensions and Content-Type headers are never trusted.

`inspect` reads a picture's header, `header` does the same for a file on disk (a catalog's
validation), `verify` decodes all of it (a provider's result, before it counts as one). All
are safe to call from several threads at once, and raise `BadPictureError` for anything that is not a usable picture.

JPEG, PNG and WebP are supported: what providers produce, and what PiktID's face swap guide says may be uploaded. An
animated picture is refused, since a swap of its first frame only is not what was ordered.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from PIL import Image, UnidentifiedImageError

MAX_PIXELS: Final = 100_000_000  # the largest cameras make 100 megapixels; decoded that is 300 to 400 MB

# A picture larger than this must not decompress to more than `_MAX_EXPANSION` bytes per byte of the file. Photos have
# 5 to 60; PNG and WebP made to exhaust memory have 1,000 and more.
_FREE_PIXELS = 20_000_000
_MAX_EXPANSION = 400

_MEDIA_TYPES: Final = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_SEVERAL_JPEGS = "MPO"  # a JPEG with further pictures behind it, as many phones write; its first is the photo

_ORIENTATION: Final = 0x0112  # the EXIF tag
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

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

# Behind a picture's end: markup that a browser might run, a document that a reader might open. (An archive is found by
# `zipfile`.) Other trailers are common and harmless: phones append depth maps, second pictures and short films.
_HIDDEN = re.compile(rb"%PDF-|<\s*(?:!doctype|html|script|svg|iframe|body|\?php)", re.IGNORECASE)
# A JPEG marker that is neither an escaped 0xFF, a restart marker nor a fill byte: the end of entropy-coded data.
JPEG_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_JPEG_END = 0xD9

# Pillow warns of large pictures instead of refusing them, and only above a limit of its own. Ours, as an error; set for
# the process because `warnings.catch_warnings` is not safe with threads before Python 3.14.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("error", category=Image.DecompressionBombWarning)


class BadPictureError(Exception):
    """The bytes are not a usable picture; the message says what they are."""


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


def header(source: bytes | Path) -> Picture:
    """`inspect` for bytes or a local file, of which only the beginning is read.

    Raises:
        BadPictureError: as `inspect`, and for a file that is missing, unreadable, a folder or a device.
    """
    if isinstance(source, bytes):
        return inspect(source)
    try:
        if source.is_dir():
            raise BadPictureError("this is a folder, not a file")
        # Opening a pipe would block, and some devices have no end.
        if source.exists() and not source.is_file():
            raise BadPictureError("this is not a regular file")
        with source.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            file.seek(0)
            if not size:
                raise BadPictureError("the file is empty")
            _require_known(file.read(_LONGEST_PROLOGUE))
            file.seek(0)
            return _read_header(file, size)
    except FileNotFoundError as error:
        raise BadPictureError("the file does not exist") from error
    except OSError as error:
        raise BadPictureError(f"the file cannot be read: {error.strerror or error}") from error


def verify(data: bytes) -> Picture:
    """Decode all of a picture and look behind its end.

    Raises:
        BadPictureError: as `inspect`, and for a picture that is truncated, damaged, animated, made to exhaust memory,
            or followed by an archive or markup.
    """
    picture = inspect(data)
    if picture.animated:
        raise BadPictureError(f"this is an animated {picture.format}; a still picture is needed")
    trailer = data[_end(picture.format, data) :]
    if zipfile.is_zipfile(io.BytesIO(trailer)):
        raise BadPictureError("a ZIP archive follows the end of the picture")
    if hidden := _HIDDEN.search(trailer):
        raise BadPictureError(f"other content follows the end of the picture: {hidden.group()[:12]!r}")
    with opened(io.BytesIO(data)) as image:
        image.load()
    return picture


@contextmanager
def opened(file: IO[bytes]) -> Iterator[Image.Image]:
    """Pillow's image, with every exception of its decoders on damaged data as `BadPictureError`."""
    try:
        with Image.open(file, formats=tuple(_MEDIA_TYPES)) as image:
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
    with opened(file) as image:
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


def resizable(image: Image.Image) -> Image.Image:
    """An image whose values can be averaged: palettes cannot, and deep greys would be cut to white later."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")  # 16 bits to 8
    if image.mode in ("1", "P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def orientation(image: Image.Image) -> int:
    """How EXIF wants a picture turned, from 1 (not at all) to 8; 1 where its EXIF is damaged, which harms no pixel."""
    try:
        found = image.getexif().get(_ORIENTATION)
        return int(found) if found in _TURNS else 1
    except Exception:  # noqa: BLE001 - damaged directories are met with exceptions of every kind
        return 1


def upright(image: Image.Image, turned: int) -> Image.Image:
    """The image that `orientation` says is `turned` in this way, as people shall see it."""
    turn = _TURNS.get(turned)
    return image if turn is None else image.transpose(turn)


def _end(name: str, data: bytes) -> int:
    """Offset of the first byte behind the picture.

    Raises:
        BadPictureError: the end is missing, or a PNG's checksum is wrong (Pillow does not check all of them).
    """
    try:
        return {"JPEG": _end_of_jpeg, "PNG": _end_of_png, "WEBP": _end_of_webp}[name](data)
    except (IndexError, struct.error) as error:
        raise BadPictureError(f"the {name} is truncated") from error


def _end_of_jpeg(data: bytes) -> int:
    position = 2
    while True:
        marker = JPEG_MARKER.search(data, position)
        if marker is None:
            raise IndexError
        if marker.group()[1] == _JPEG_END:
            return marker.end()
        # Every other segment gives its length, without the marker's two bytes; a scan's data follows its header.
        position = marker.end() + int(struct.unpack_from(">H", data, marker.end())[0])


def _end_of_png(data: bytes) -> int:
    position = 8
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        end: int = position + 12 + length
        (checksum,) = struct.unpack_from(">I", data, end - 4)
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != checksum:
            raise BadPictureError("the PNG is damaged: a checksum is wrong")
        position = end
        if kind == b"IEND":
            return position


def _end_of_webp(data: bytes) -> int:
    (length,) = struct.unpack_from("<I", data, 4)
    if len(data) < 8 + length:
        raise IndexError
    return int(8 + length)
