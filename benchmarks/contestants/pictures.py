"""What the contestants other than deployments of Recast do with a finished picture, where there are pictures at all.

The least of a careful worker: the file is written whole and flushed to disk before its row is committed. Some decode it
as well, which shows that it is whole, and make the thumbnail that a page will want.
"""

from __future__ import annotations

import io
import os
import secrets
from pathlib import Path

from PIL import Image

from benchmarks.contestants import PICTURES, THUMBNAILS

THUMBNAIL_SIDE = 320

WANTED = PICTURES in os.environ
_THUMBNAILS = THUMBNAILS in os.environ


def keep(job_id: str, data: bytes) -> None:
    """Keep one picture."""
    folder = Path(os.environ[PICTURES]) / job_id[:2]
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / job_id, data)
    if _THUMBNAILS:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            small = image.convert("RGB")
        small.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
        out = io.BytesIO()
        small.save(out, "JPEG")
        _write(folder / f"{job_id}.thumbnail", out.getvalue())


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{secrets.token_hex(8)}")
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
