"""Copies of removed pictures in folders that people chose: exports, and what `recast run` wrote.

A signed copy that says a verdict has other bytes than the stored file; it names the digest of that.
"""

from __future__ import annotations

import hashlib
import os
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from workers.images.verifier import PICTURE

_OF = re.compile(re.escape(PICTURE).encode() + rb"([0-9a-f]{64})")
MOST_ADDED = 64 * 1024  # bytes by which credentials that say a verdict make a file larger: 6 KB, more by long chains


def copies(folder: Path, pictures: Collection[tuple[int, str]]) -> Iterator[Path]:
    """The files below `folder` that are one of these pictures, by size and SHA-256; links are not followed."""
    sizes = sorted({size for size, _ in pictures})
    digests = {sha256 for _, sha256 in pictures}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                if path.is_symlink() or not _is_near(path.stat().st_size, sizes):
                    continue
                data = path.read_bytes()
            except OSError:
                continue
            if (len(data), hashlib.sha256(data).hexdigest()) in pictures or any(
                each.decode() in digests for each in _OF.findall(data)
            ):
                yield path


def _is_near(size: int, sizes: Sequence[int]) -> bool:
    """Whether a file has one of these sizes, or is a copy's larger."""
    at = bisect_right(sizes, size)
    return at > 0 and size - sizes[at - 1] <= MOST_ADDED
