"""Providers' own files, got back from the marked ones, in which a mark is a piece of metadata.

So a picture is stored once. Where the mark replaced an older one, or the file's header had to change (WebP), the
provider's file is stored beside ours.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, NamedTuple

CHUNK_BYTES = 256 * 1024  # read and sent at once


class Mark(NamedTuple):
    """Where in a file our mark lies, in bytes."""

    start: int
    length: int


def mark_of(original: bytes, marked: bytes) -> Mark | None:
    """Where the mark lies; None where the original is not what is left without it."""
    mark = Mark(_common(original, marked), len(marked) - len(original))
    return mark if mark.length > 0 and without(mark, marked) == original else None


def without(mark: Mark, marked: bytes) -> bytes:
    """The original of a marked file."""
    return marked[: mark.start] + marked[mark.start + mark.length :]


def pieces(file: IO[bytes], mark: Mark | None = None) -> Iterator[bytes]:
    """A file from its beginning, in pieces of up to `CHUNK_BYTES`, without the mark in it, if one is named."""
    left = mark.start if mark else 0
    while left and (piece := file.read(min(left, CHUNK_BYTES))):
        left -= len(piece)
        yield piece
    if mark:
        file.seek(mark.length, io.SEEK_CUR)
    while piece := file.read(CHUNK_BYTES):
        yield piece


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
