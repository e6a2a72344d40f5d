"""Provenance: metadata that says that a model made a picture, as IPTC's Digital Source Type in an XMP packet.

Only metadata are written: a segment of a JPEG, a chunk of a PNG or WebP. No pixel is decoded or encoded again. The same
bytes always become the same bytes, so that storing a picture twice changes nothing.

What the file says of itself already is kept, author and licence above all; only an older statement on the same question
is taken out. `workers.images.xmp` edits the packet.

Sources: XMP specification part 3 (where packets lie), IPTC Photo Metadata Standard (Iptc4xmpExt:DigitalSourceType), the
WebP container specification (VP8X).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from typing import Final

from workers.images.segments import (
    APP0,
    APP1,
    END,
    SCAN,
    WEBP_HAS_XMP,
    jpeg_segments,
    png_chunks,
    spliced,
    webp_chunks,
    webp_end,
)
from workers.images.xmp import ELSEWHERE, manifest_elsewhere, stated, with_source_type

_VOCABULARY: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
#: By kind of job: a face in a person's photo, or a picture that is the model's altogether.
SOURCE_TYPES: Final[Mapping[str, str]] = {
    "swap": f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia",
    "generate": f"{_VOCABULARY}trainedAlgorithmicMedia",
}

_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXIF: Final = b"Exif\0"
_JPEG_LONGEST: Final = 0xFFFF - 2 - len(_JPEG_XMP)  # a segment's length is written in two bytes and counts them
_PNG_XMP: Final = b"XML:com.adobe.xmp\0"
_PNG_PLAIN: Final = b"\0\0"  # not compressed, by method 0
_WEBP_XMP: Final = b"XMP "
_WEBP_HAS_ALPHA = 0x10


def marked(data: bytes, media_type: str, source_type: str) -> bytes:
    """The picture with a packet that says what made it.

    Args:
        data: a whole picture that `workers.images.verify.verify` has passed.
        media_type: of `data`: JPEG, PNG or WebP.
        source_type: one of `SOURCE_TYPES`.
    """
    return {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[media_type](data, source_type)


def stated_in(data: bytes, media_type: str) -> str | None:
    """The digital source type that the picture's first packet states; None where there is none."""
    packet = _packet(data, media_type)
    return None if packet is None else stated(packet)


def credentials_elsewhere(data: bytes, media_type: str) -> str | None:
    """The address at which the picture says that its Content Credentials are kept; None where it says none."""
    if ELSEWHERE not in data:
        return None  # as most pictures; no packet is looked for
    packet = _packet(data, media_type)
    return None if packet is None else manifest_elsewhere(packet)


def _packet(data: bytes, media_type: str) -> bytes | None:
    return {"image/jpeg": _jpeg_packet, "image/png": _png_packet, "image/webp": _webp_packet}[media_type](data)


def _jpeg_packet(data: bytes) -> bytes | None:
    for kind, start, end in jpeg_segments(data):
        if kind in (SCAN, END):
            break
        if kind == APP1 and data.startswith(_JPEG_XMP, start + 4):
            return data[start + 4 + len(_JPEG_XMP) : end]
    return None


def _png_packet(data: bytes) -> bytes | None:
    found = (data[body] for kind, _, _, body in png_chunks(data) if kind == b"iTXt")
    text = next((text for text in found if text.startswith(_PNG_XMP)), None)
    return None if text is None else _png_text(text[len(_PNG_XMP) :])


def _webp_packet(data: bytes) -> bytes | None:
    return next((data[body] for kind, _, _, body in webp_chunks(data) if kind == _WEBP_XMP), None)


def _jpeg(data: bytes, source_type: str) -> bytes:
    place = 2
    leading = True
    old: list[tuple[int, int]] = []
    for kind, start, end in jpeg_segments(data):
        if kind in (SCAN, END):
            break
        # JFIF and Exif want their segments first.
        leading = leading and (kind == APP0 or (kind == APP1 and data.startswith(_JPEG_EXIF, start + 4)))
        if leading:
            place = end
        if kind == APP1 and data.startswith(_JPEG_XMP, start + 4):
            old.append((start, end))
    first = data[old[0][0] + 4 + len(_JPEG_XMP) : old[0][1]] if old else None
    written = _JPEG_XMP + with_source_type(first, source_type, _JPEG_LONGEST)
    return spliced(data, place, b"\xff\xe1" + struct.pack(">H", len(written) + 2) + written, old)


def _png(data: bytes, source_type: str) -> bytes:
    place = 0
    old: list[tuple[int, int]] = []
    first = None
    for kind, start, end, body in png_chunks(data):
        if kind == b"IHDR":
            place = end
        elif kind == b"iTXt" and data.startswith(_PNG_XMP, body.start):
            old.append((start, end))
            first = first or _png_text(data[body.start + len(_PNG_XMP) : body.stop])
    # No language, no other keyword.
    written = b"iTXt" + _PNG_XMP + _PNG_PLAIN + b"\0\0" + with_source_type(first, source_type)
    chunk = struct.pack(">I", len(written) - 4) + written + struct.pack(">I", zlib.crc32(written))
    return spliced(data, place, chunk, old)


def _png_text(rest: bytes) -> bytes | None:
    """The text of a chunk behind its keyword, unless it is compressed."""
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    return parts[2] if rest.startswith(_PNG_PLAIN) and len(parts) == 3 else None  # noqa: PLR2004


def _webp(data: bytes, source_type: str) -> bytes:
    chunks, old = [], None
    for kind, _, _, span in webp_chunks(data):
        if kind == _WEBP_XMP:
            old = old or data[span]
        else:
            chunks.append((kind, data[span]))
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _webp_header(*chunks[0])))
    flags = chunks[0][1]
    chunks[0] = (b"VP8X", bytes([flags[0] | WEBP_HAS_XMP]) + flags[1:])
    chunks.append((_WEBP_XMP, with_source_type(old, source_type)))
    written = b"".join(kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in chunks)
    return b"RIFF" + struct.pack("<I", len(written) + 4) + b"WEBP" + written + data[webp_end(data) :]


def _webp_header(kind: bytes, body: bytes) -> bytes:
    """What VP8X says of a file that had none, from its only frame."""
    if kind == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        width, height, alpha = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1
    else:
        across, down = (int.from_bytes(body[at : at + 2], "little") & 0x3FFF for at in (6, 8))
        width, height, alpha = across - 1, down - 1, 0
    flags = _WEBP_HAS_ALPHA if alpha else 0
    return bytes([flags, 0, 0, 0]) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
