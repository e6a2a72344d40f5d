"""The parts of a picture's file, walked without decoding a pixel: segments of a JPEG, chunks of a PNG or WebP.

The walks read only lengths, so that their time grows with the number of parts, which is bounded.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

MAX_PARTS: Final = 20_000  # a 64 MiB PNG in the usual chunks of 8 KiB has 8,192; walking so many takes 20 ms

#: JPEG markers that are asked for by name.
APP0, APP1, SCAN, END = 0xE0, 0xE1, 0xDA, 0xD9
#: Frames whose entropy coding is arithmetic: several times slower to decode, and made by no camera or provider.
ARITHMETIC: Final = frozenset({0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF})
#: The bit of a WebP's features that says that there is an XMP packet.
WEBP_HAS_XMP: Final = 0x04
PROGRESSIVE: Final = 0xC2  # the frame of a JPEG that comes in scans, each finer than the last

# A JPEG marker that is neither an escaped 0xFF, a restart marker nor a fill byte: the end of entropy-coded data.
_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")
_PNG_BEGINS, _WEBP_BEGINS = 8, 12  # bytes before the first chunk


class BadPictureError(Exception):
    """The bytes are not a usable picture; the message says what they are."""


class Segment(NamedTuple):
    """One segment of a JPEG: its marker's second byte, and where it lies, marker included."""

    kind: int
    start: int
    end: int


class Chunk(NamedTuple):
    """One chunk of a PNG or WebP: its name, where it lies, and where its data lie."""

    kind: bytes
    start: int
    end: int
    body: slice


def jpeg_segments(data: bytes) -> Iterator[Segment]:
    """The segments of a JPEG behind its start, up to the end marker; a scan's pixels lie behind its segment.

    Raises:
        BadPictureError: the end is missing, or there are too many.
    """
    position = 2
    for _ in range(MAX_PARTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            raise BadPictureError("the JPEG is truncated")
        kind = marker.group()[1]
        if kind == END:
            yield Segment(kind, marker.start(), marker.end())
            return
        # Every other segment gives its length, which counts its own two bytes and not the marker's.
        position = marker.end() + max(2, _number(">H", data, marker.end(), "JPEG"))
        yield Segment(kind, marker.start(), position)
    raise _too_many("JPEG")


def png_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a PNG, IEND included, each with a correct checksum (Pillow does not check all of them).

    Raises:
        BadPictureError: the end is missing, a checksum is wrong, or there are too many.
    """
    position = _PNG_BEGINS
    for _ in range(MAX_PARTS):
        end = position + 12 + _number(">I", data, position, "PNG")
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != _number(">I", data, end - 4, "PNG"):
            raise BadPictureError("the PNG is damaged: a checksum is wrong")
        kind = data[position + 4 : position + 8]
        yield Chunk(kind, position, end, slice(position + 8, end - 4))
        if kind == b"IEND":
            return
        position = end
    raise _too_many("PNG")


def webp_chunks(data: bytes) -> Iterator[Chunk]:
    """The chunks of a WebP.

    Raises:
        BadPictureError: the file is shorter than it says, or there are too many.
    """
    position, whole = _WEBP_BEGINS, webp_end(data)
    for _ in range(MAX_PARTS):
        if position + 8 > whole:
            return
        length = _number("<I", data, position + 4, "WEBP")
        end = position + 8 + length + length % 2
        yield Chunk(data[position : position + 4], position, end, slice(position + 8, min(end, position + 8 + length)))
        position = end
    raise _too_many("WEBP")


def webp_end(data: bytes) -> int:
    """The offset of the first byte behind a WebP.

    Raises:
        BadPictureError: the file is shorter.
    """
    end = 8 + _number("<I", data, 4, "WEBP")
    if len(data) < end:
        raise BadPictureError("the WEBP is truncated")
    return end


def spliced(data: bytes, place: int, made: bytes, old: Iterable[tuple[int, int]]) -> bytes:
    """`data` with `made` put in at `place`, and without the spans of `old`."""
    parts, position = [], 0
    for start, end, instead in sorted([(place, place, made), *((start, end, b"") for start, end in old)]):
        parts += [data[position:start], instead]
        position = max(position, end)
    return b"".join([*parts, data[position:]])


def _number(form: str, data: bytes, position: int, name: str) -> int:
    try:
        return int(struct.unpack_from(form, data, position)[0])
    except struct.error:
        raise BadPictureError(f"the {name} is truncated") from None


def _too_many(name: str) -> BadPictureError:
    return BadPictureError(f"the {name} has more than {MAX_PARTS:,} parts, more than any real picture")
