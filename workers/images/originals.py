"""Providers' own files, got back from the marked ones, in which a mark is a piece of metadata.

So a picture is stored once. In a WebP, the mark lies at the end, and the front says how long the file is and that there
is a mark; both are set back. Where the mark replaced an older one, the provider's file is stored beside ours.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Final, NamedTuple

from workers.images.segments import WEBP_HAS_XMP

CHUNK_BYTES = 256 * 1024  # read and sent at once
_WEBP, _WEBP_FEATURES = b"RIFF", b"VP8X"
_FEATURES_BYTES: Final = 18  # of a WebP's chunk of features, which comes first, where there is one
_FRONT_BYTES: Final = 12 + _FEATURES_BYTES


class Mark(NamedTuple):
    """Where in a file our mark lies, in bytes, and how much longer it made the file."""

    start: int
    length: int


def mark_of(original: bytes, marked: bytes) -> Mark | None:
    """Where the mark lies; None where the original is not what is left without it."""
    start = _webp_end(original, marked) if marked.startswith(_WEBP) else _common(original, marked)
    mark = Mark(start, len(marked) - len(original))
    return mark if mark.length > 0 and without(mark, marked) == original else None


def without(mark: Mark, marked: bytes) -> bytes:
    """The original of a marked file."""
    return b"".join(pieces(io.BytesIO(marked), mark))


def pieces(file: IO[bytes], mark: Mark | None = None) -> Iterator[bytes]:
    """A file from its beginning, in pieces of up to `CHUNK_BYTES`; the original of a marked one, if a mark is named."""
    if mark:
        front = file.read(min(mark.start, _FRONT_BYTES))
        original, length = _unmarked(front, mark)
        yield original
        left = mark.start - len(front)
        while left and (piece := file.read(min(left, CHUNK_BYTES))):
            left -= len(piece)
            yield piece
        file.seek(length, io.SEEK_CUR)
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _unmarked(front: bytes, mark: Mark) -> tuple[bytes, int]:
    """What the original has in place of `front`, and how many bytes the mark has where it starts."""
    if not front.startswith(_WEBP) or len(front) < _FRONT_BYTES:
        return front, mark.length
    size = int.from_bytes(front[4:8], "little")  # of what comes behind these bytes
    length = 8 + size - mark.start
    before = _WEBP + (size - mark.length & 0xFFFF_FFFF).to_bytes(4, "little") + front[8:12]
    if mark.length - length == _FEATURES_BYTES:  # there were none, and these came with the mark
        return before, length
    return before + front[12:20] + bytes([front[20] & ~WEBP_HAS_XMP]) + front[21:], length


def _webp_end(original: bytes, marked: bytes) -> int:
    """Where in a marked WebP the original's chunks end."""
    added = _FEATURES_BYTES if marked[12:16] == _WEBP_FEATURES != original[12:16] else 0
    return 8 + int.from_bytes(original[4:8], "little") + added


def _common(one: bytes, other: bytes) -> int:
    """How many bytes are the same at the front."""
    same, differs = 0, min(len(one), len(other)) + 1
    first, second = memoryview(one), memoryview(other)
    while differs - same > 1:
        middle = (same + differs) // 2
        if first[same:middle] == second[same:middle]:
            same = middle
        else:
            differs = middle
    return same
