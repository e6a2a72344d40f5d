"""Thumbnails: small upright copies of pictures, for pages."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

from workers.images.decoding import decoded, orientation, shrunk, upright
from workers.images.headers import inspect

THUMBNAIL_SIDE: Final = 320  # pixels; a gallery's tile on a dense display


def thumbnail(data: bytes, side: int = THUMBNAIL_SIDE) -> bytes:
    """A picture's small copy, turned upright, at most `side` pixels wide and high, without metadata.

    JPEG; WebP where the picture has transparency.

    Raises:
        BadPictureError: as `inspect` and `workers.images.decoding.decoded`.
    """
    with decoded(data, inspect(data), side=side) as image:
        small = shrunk(image, side, Image.Resampling.HAMMING)
        small = upright(small.convert("RGBA" if small.has_transparency_data else "RGB"), orientation(image))
    small.info.clear()
    out = io.BytesIO()
    if small.mode == "RGBA":
        small.save(out, "WEBP", quality=80)
    else:
        small.save(out, "JPEG", quality=82)
    return out.getvalue()
