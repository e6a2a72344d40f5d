"""Content Credentials: the C2PA manifest that a provider put into a picture, found without reading a pixel.

A manifest signs the bytes of its file: with one of them changed, be it in a word of metadata, verifiers say that the
picture was tampered with. So a file with credentials stays as it is, or loses them.

What verifiers accept counts: one whole manifest store, before a JPEG's first scan, or in a chunk of a PNG or WebP. A
store that is cut short, or one of several, is accepted by none; it is *damaged*.

Sources: C2PA specification 2.2, appendix A.3 (where stores lie), ISO 19566-5 annex D (JUMBF in JPEG).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from workers.images.jumbf import (
    HEADER_BYTES,
    STORE_BYTES,
    BadBoxesError,
    claims_to_be_a_store,
    is_store,
    manifests,
    source_type,
)
from workers.images.segments import SCAN, jpeg_segments, png_chunks, spliced, webp_chunks, webp_end

#: The largest store of a JPEG that is put together from its segments to be read; c2pa-rs writes 3 to 200 KiB.
MAX_JOINED_BYTES: Final = 4 * 1024 * 1024

APP11: Final = 0xEB  # the JPEG marker of segments that hold JUMBF boxes
_JUMBF_IN_JPEG: Final = b"JP"
_BEFORE_BOX: Final = 12  # bytes of a segment: marker, length, JP, the number of its box, the number of the segment
_BEFORE_CONTENT: Final = _BEFORE_BOX + HEADER_BYTES
_PNG_STORE, _WEBP_STORE = b"caBX", b"C2PA"

Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Credentials:
    """The credentials of one file."""

    #: Where they lie, in bytes: segments or chunks.
    spans: tuple[Span, ...]
    #: Whether no verifier can accept them.
    damaged: bool = False
    #: The digital source type that they state, as they write it; None where they state none.
    source_type: str | None = None


def credentials_of(data: bytes, media_type: str) -> Credentials | None:
    """The credentials of a picture; None where it has none.

    Args:
        data: a whole picture that `workers.images.verify.verify` has passed.
        media_type: of `data`: JPEG, PNG or WebP.
    """
    if media_type == "image/jpeg":
        return _of_jpeg(data)
    if media_type == "image/png":
        if _PNG_STORE not in data:
            return None  # found in a tenth of the time of all checksums
        found = [(start, end, body) for kind, start, end, body in png_chunks(data) if kind == _PNG_STORE]
    else:
        found = [(start, end, body) for kind, start, end, body in webp_chunks(data) if kind == _WEBP_STORE]
    spans = tuple((start, end) for start, end, _ in found)
    return _judged(spans, [memoryview(data)[body] for *_, body in found]) if found else None


def without_credentials(data: bytes, media_type: str, credentials: Credentials) -> bytes:
    """The picture without its credentials."""
    rest = spliced(data, 0, b"", credentials.spans)
    if media_type != "image/webp":
        return rest
    removed = sum(end - start for start, end in credentials.spans)
    return rest[:4] + struct.pack("<I", webp_end(data) - removed - 8) + rest[8:]


def _of_jpeg(data: bytes) -> Credentials | None:
    stores = list(_stores_of_jpeg(data))
    spans = tuple(span for store in stores for span in store)
    if not spans:
        return None
    if len(stores) > 1 or not _in_sequence(data, spans):
        return Credentials(spans, damaged=True)
    (first, _), *_ = spans
    size = HEADER_BYTES + sum(end - start - _BEFORE_CONTENT for start, end in spans)
    if size > MAX_JOINED_BYTES:
        length = int.from_bytes(data[first + _BEFORE_BOX : first + _BEFORE_BOX + 4], "big")
        return Credentials(spans, damaged=not HEADER_BYTES < length <= size)
    joined = [
        data[first + _BEFORE_BOX : first + _BEFORE_CONTENT],
        *(data[at + _BEFORE_CONTENT : end] for at, end in spans),
    ]
    return _judged(spans, [memoryview(b"".join(joined))])


def _stores_of_jpeg(data: bytes) -> Iterator[list[Span]]:
    """The segments of each store: those that follow its first one with the number of its box."""
    store, number = list[Span](), b""
    for kind, start, end in jpeg_segments(data):
        if kind == SCAN:
            break
        if kind != APP11 or data[start + 4 : start + 6] != _JUMBF_IN_JPEG:
            continue
        own = data[start + 6 : start + 8]
        if not store or own != number:
            if not claims_to_be_a_store(data[start + _BEFORE_BOX : min(end, start + _BEFORE_BOX + STORE_BYTES)]):
                continue
            if store:
                yield store
            store, number = [], own
        store.append((start, end))
    if store:
        yield store


def _in_sequence(data: bytes, spans: tuple[Span, ...]) -> bool:
    """Whether the segments are numbered one after another, and each repeats the header of their box."""
    (first, _), *_ = spans
    header = data[first + _BEFORE_BOX : first + _BEFORE_CONTENT]
    return all(
        data[start + 8 : min(end, start + _BEFORE_CONTENT)] == struct.pack(">I", number) + header
        for number, (start, end) in enumerate(spans, start=1)
    )


def _judged(spans: tuple[Span, ...], stores: list[memoryview]) -> Credentials:
    store, *others = stores
    try:
        if others or not is_store(store[:STORE_BYTES]):
            return Credentials(spans, damaged=True)
        *_, active = manifests(store)
    except BadBoxesError:
        return Credentials(spans, damaged=True)
    return Credentials(spans, source_type=source_type(store, active))
