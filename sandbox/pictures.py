"""Picture files for the sandbox: encoding what the face engine makes, and cheap files that cost no work.

A cheap file is a plain picture of the size asked for, drawn once per size and colour, into which the job's reference is
written as a comment: every job has a file of its own, for some microseconds.
"""

from __future__ import annotations

import io
import struct
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from PIL import Image

if TYPE_CHECKING:
    from faces.pictures import Picture

Format = Literal["png", "jpeg", "webp"]

#: Colours a cheap picture can have; a job's number picks one, so that a gallery of them is not all alike.
COLOURS = ("#4e79a7", "#f28e2b", "#e15759", "#76b7b2", "#59a14f", "#edc948", "#b07aa1", "#9c755f")

JPEG_HEAD = 2 + 18  # the SOI marker and the JFIF segment, which must come first
PNG_HEAD = 8 + 25  # the signature and the IHDR chunk, which must come first
RIFF_HEAD = 8  # "RIFF" and the length of what follows


def encode(picture: Picture, form: Format, *, quality: int = 95) -> bytes:
    """Return an RGB or RGBA array as a file; JPEG without chroma subsampling, so that edges of colour survive."""
    return _save(Image.fromarray(picture), form, quality)


@lru_cache(maxsize=256)
def plain(form: Format, width: int, height: int, colour: str, *, alpha: bool) -> bytes:
    """Return a picture of one colour; with `alpha` it is half transparent (not for JPEG)."""
    ground = Image.new("RGBA" if alpha else "RGB", (width, height), colour)
    if alpha:
        ground.putalpha(128)
    return _save(ground, form, 95)


def cheap(reference: str, number: int, form: Format, width: int, height: int, *, alpha: bool = False) -> bytes:
    """Return a small valid file of exactly `width` x `height` pixels that carries `reference` and is like no other."""
    base = plain(form, width, height, COLOURS[number % len(COLOURS)], alpha=alpha)
    text = reference.encode("ascii", "replace")
    if form == "jpeg":
        comment = b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text
        return base[:JPEG_HEAD] + comment + base[JPEG_HEAD:]
    if form == "webp":
        # Readers must pass over chunks they do not know, which lie behind the picture (WebP container specification).
        chunks = base[RIFF_HEAD:] + b"NOTE" + struct.pack("<I", len(text)) + text + b"\0" * (len(text) % 2)
        return b"RIFF" + struct.pack("<I", len(chunks)) + chunks
    content = b"tEXtComment\0" + text
    comment = struct.pack(">I", len(content) - 4) + content + struct.pack(">I", zlib.crc32(content))
    return base[:PNG_HEAD] + comment + base[PNG_HEAD:]


def _save(image: Image.Image, form: Format, quality: int) -> bytes:
    file = io.BytesIO()
    if form == "jpeg":
        image.save(file, "JPEG", quality=quality, subsampling=0)
    elif form == "webp":
        image.save(file, "WEBP", quality=quality)
    else:
        image.save(file, "PNG", compress_level=3)  # the time matters here, not the size
    return file.getvalue()
