"""Verification of a whole picture: decoded to its last byte, with nothing hidden behind its end.

An animated picture is refused, since a swap of its first frame only is not what was ordered.
"""

from __future__ import annotations

import io
import re
import zipfile
from typing import Final

from workers.images.decoding import decoded
from workers.images.headers import Picture, inspect
from workers.images.segments import BadPictureError, jpeg_segments, png_chunks, webp_end

_SMALLEST: Final = 1  # pixels: decoding at an eighth of the size reads a JPEG's every byte as well

# Behind a picture's end: markup that a browser might run, a document that a reader might open. (An archive is found by
# `zipfile`.) Other trailers are common and harmless: phones append depth maps, second pictures and short films.
_HIDDEN = re.compile(rb"%PDF-|<\s{0,16}+(?:!doctype|html|script|svg|iframe|body|\?php)", re.IGNORECASE)


def verify(data: bytes) -> Picture:
    """Decode all of a picture and look behind its end.

    Raises:
        BadPictureError: as `inspect`, and for a picture that is truncated, damaged, animated, made to exhaust memory
            or time, or followed by an archive or markup.
    """
    picture = inspect(data)
    if picture.animated:
        raise BadPictureError(f"this is an animated {picture.format}; a still picture is needed")
    trailer = data[_end(picture.format, data) :]
    if zipfile.is_zipfile(io.BytesIO(trailer)):
        raise BadPictureError("a ZIP archive follows the end of the picture")
    if hidden := _HIDDEN.search(trailer):
        raise BadPictureError(f"other content follows the end of the picture: {hidden.group()[:12]!r}")
    with decoded(data, picture, side=_SMALLEST):
        return picture


def _end(name: str, data: bytes) -> int:
    """Offset of the first byte behind the picture.

    Raises:
        BadPictureError: the end is missing, or a PNG's checksum is wrong.
    """
    if name == "WEBP":
        return webp_end(data)
    *_, last = jpeg_segments(data) if name == "JPEG" else png_chunks(data)
    return last.end
