"""Provenance: metadata that says that a model made a picture, as IPTC's Digital Source Type in an XMP packet.

Only metadata are written: a segment of a JPEG, a chunk of a PNG or WebP. No pixel is decoded or encoded again. The same
bytes always become the same bytes, so that storing a picture twice changes nothing.

What the file says of itself already is kept, author and licence above all; only an older word on the same question is
taken out. A packet that cannot be added to (no XML, UTF-16, too long) is replaced.

Sources: XMP specification part 3 (where packets lie), IPTC Photo Metadata Standard (Iptc4xmpExt:DigitalSourceType), the
WebP container specification (VP8X).
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from typing import Final
from xml.parsers import expat

from workers.images.verify import JPEG_MARKER

_VOCABULARY: Final = "http://cv.iptc.org/newscodes/digitalsourcetype/"
#: By kind of job: a face in a person's photo, or a picture that is the model's altogether.
SOURCE_TYPES: Final[Mapping[str, str]] = {
    "swap": f"{_VOCABULARY}compositeWithTrainedAlgorithmicMedia",
    "generate": f"{_VOCABULARY}trainedAlgorithmicMedia",
}

_JPEG_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_JPEG_EXIF: Final = b"Exif\0"
_JPEG_LONGEST: Final = 0xFFFF - 2 - len(_JPEG_XMP)  # a segment's length is written in two bytes and counts them
_APP0, _APP1, _SCAN, _END = 0xE0, 0xE1, 0xDA, 0xD9
_PNG_XMP: Final = b"XML:com.adobe.xmp\0"
_PNG_PLAIN: Final = b"\0\0"  # not compressed, by method 0
_WEBP_XMP: Final = b"XMP "
_WEBP_HAS_XMP, _WEBP_HAS_ALPHA = 0x04, 0x10

_CLOSING: Final = re.compile(rb"</[\w.-]+:RDF\s*>")
_OLDER_WORD: Final = re.compile(
    rb"""\s[\w.-]+:DigitalSourceType\s*=\s*(?:"[^"]*"|'[^']*')"""
    rb"""|<([\w.-]+:DigitalSourceType)\b[^>]*(?:/>|>.*?</\1\s*>)""",
    re.DOTALL,
)


def marked(data: bytes, media_type: str, source_type: str) -> bytes:
    """The picture with a packet that says what made it.

    Args:
        data: a whole picture that `workers.images.verify.verify` has passed.
        media_type: of `data`: JPEG, PNG or WebP.
        source_type: one of `SOURCE_TYPES`.
    """
    return {"image/jpeg": _jpeg, "image/png": _png, "image/webp": _webp}[media_type](data, source_type)


def _packet(old: bytes | None, source_type: str, longest: int = 1 << 20) -> bytes:
    """`old` with the statement added, or a packet with nothing else in it."""
    statement = (
        '<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{source_type}"/>'
    ).encode()
    if old is not None:
        rest = _OLDER_WORD.sub(b"", old)
        closings = list(_CLOSING.finditer(rest))
        if len(closings) == 1:
            at = closings[0].start()
            merged = rest[:at] + statement + rest[at:]
            if len(merged) <= longest and _is_plain_xml(merged):
                return merged
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' + statement + b"</rdf:RDF></x:xmpmeta>"
        b'<?xpacket end="r"?>'
    )


def _is_plain_xml(packet: bytes) -> bool:
    """Whether it is well formed; a document type, which may define entities without end, is not plain."""
    if b"<!DOCTYPE" in packet:
        return False
    try:
        expat.ParserCreate().Parse(packet.rstrip(b"\0 \t\r\n"), True)
    except (expat.ExpatError, ValueError):
        return False
    return True


def _replaced(data: bytes, place: int, made: bytes, old: list[tuple[int, int]]) -> bytes:
    """`data` with `made` put in at `place`, and without the spans of `old`."""
    parts, position = [], 0
    for start, end, instead in sorted([(place, place, made), *((start, end, b"") for start, end in old)]):
        parts += [data[position:start], instead]
        position = end
    return b"".join([*parts, data[position:]])


def _jpeg(data: bytes, source_type: str) -> bytes:
    position = place = 2
    leading = True
    old: list[tuple[int, int]] = []
    while marker := JPEG_MARKER.search(data, position):
        kind, body = marker.group()[1], marker.end() + 2
        if kind in (_SCAN, _END):
            break
        position = marker.end() + int(struct.unpack_from(">H", data, marker.end())[0])
        # JFIF and Exif want their segments first.
        leading = leading and (kind == _APP0 or (kind == _APP1 and data.startswith(_JPEG_EXIF, body)))
        if leading:
            place = position
        if kind == _APP1 and data.startswith(_JPEG_XMP, body):
            old.append((marker.start(), position))
    first = data[old[0][0] + 4 + len(_JPEG_XMP) : old[0][1]] if old else None
    written = _JPEG_XMP + _packet(first, source_type, _JPEG_LONGEST)
    return _replaced(data, place, b"\xff\xe1" + struct.pack(">H", len(written) + 2) + written, old)


def _png(data: bytes, source_type: str) -> bytes:
    position, place = 8, 0
    old: list[tuple[int, int]] = []
    first = None
    while True:
        length, kind = struct.unpack_from(">I4s", data, position)
        body, end = position + 8, position + 12 + length
        if kind == b"IEND":
            break
        if kind == b"IHDR":
            place = end
        elif kind == b"iTXt" and data.startswith(_PNG_XMP, body):
            old.append((position, end))
            first = first or _png_text(data[body + len(_PNG_XMP) : end - 4])
        position = end
    written = b"iTXt" + _PNG_XMP + _PNG_PLAIN + b"\0\0" + _packet(first, source_type)  # no language, no other keyword
    chunk = struct.pack(">I", len(written) - 4) + written + struct.pack(">I", zlib.crc32(written))
    return _replaced(data, place, chunk, old)


def _png_text(rest: bytes) -> bytes | None:
    """The text of a chunk behind its keyword, unless it is compressed."""
    parts = rest[2:].split(b"\0", 2)  # language, translated keyword, text
    return parts[2] if rest.startswith(_PNG_PLAIN) and len(parts) == 3 else None  # noqa: PLR2004


def _webp(data: bytes, source_type: str) -> bytes:
    end = 8 + int(struct.unpack_from("<I", data, 4)[0])
    chunks, old = [], None
    position = 12
    while position + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, position)
        body = data[position + 8 : min(position + 8 + length, end)]
        if kind == _WEBP_XMP:
            old = old or body
        else:
            chunks.append((kind, body))
        position += 8 + length + length % 2
    if chunks[0][0] != b"VP8X":
        chunks.insert(0, (b"VP8X", _webp_header(*chunks[0])))
    flags = chunks[0][1]
    chunks[0] = (b"VP8X", bytes([flags[0] | _WEBP_HAS_XMP]) + flags[1:])
    chunks.append((_WEBP_XMP, _packet(old, source_type)))
    written = b"".join(kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2) for kind, body in chunks)
    return b"RIFF" + struct.pack("<I", len(written) + 4) + b"WEBP" + written + data[end:]


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
