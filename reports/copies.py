"""Copies of removed pictures in folders that people chose: exports, and what `recast run` wrote."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator
from pathlib import Path


def copies(folder: Path, pictures: Collection[tuple[int, str]]) -> Iterator[Path]:
    """The files below `folder` that are one of these pictures, by size and SHA-256; links are not followed."""
    sizes = {size for size, _ in pictures}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            try:
                if path.is_symlink() or path.stat().st_size not in sizes:
                    continue
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError:
                continue
            if (path.stat().st_size, digest) in pictures:
                yield path
