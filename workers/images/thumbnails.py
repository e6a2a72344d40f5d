"""Thumbnails: small upright copies of pictures, for pages."""

from __future__ import annotations

import io
from typing import Final

from PIL import Image

from workers.images.verify import inspect, opened, orientation, resizable, upright

THUMBNAIL_SIDE: Final = 320  # pixels; a gallery's tile on a dense display


def thumbnail(data: bytes, side: int = THUMBNAIL_SIDE) -> bytes:
    """A picture's small copy, turned upright, at most `side` pixels wide and high, without metadata.

    JPEG; WebP where the picture has transparency.

    Raises:
        BadPictureError: as `inspect`, and for a picture that cannot be decoded.
    """
    inspect(data)
    with opened(io.BytesIO(data)) as image:
        small = resizable(image)
        # In place; a JPEG is decoded at a fraction of its size to begin with.
        small.thumbnail((side, side), Image.Resampling.LANCZOS, reducing_gap=2.0)
        small = upright(small.convert("RGBA" if small.has_transparency_data else "RGB"), orientation(image))
        small.info.clear()
        out = io.BytesIO()
        if small.mode == "RGBA":
            small.save(out, "WEBP", quality=80)
        else:
            small.save(out, "JPEG", quality=82, optimize=True)
    return out.getvalue()
