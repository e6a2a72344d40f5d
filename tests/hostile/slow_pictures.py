"""Pictures that are made to take long, or much memory, wherever they are decoded, marked or shown."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable

from PIL import Image

from tests.hostile.cases import Area, Case, refused, survived
from tests.hostile.pictures import JPEG, PNG, chunk, noise, photo, png, saved, zipped
from workers.images.segments import SCAN, jpeg_segments

OPENING = b"<a:DigitalSourceType>"
STATED = b"a:DigitalSourceType="
MEGABYTE = 1_000_000


def scans(number: int, side: int = 256) -> bytes:
    """A progressive JPEG whose last scan comes again and again, until there are `number` of them."""
    data = saved(noise(size=(side, side)), "JPEG", progressive=True, quality=20)
    parts = list(jpeg_segments(data))
    found = [part for part in parts if part.kind == SCAN]
    last, end = data[found[-1].start : parts[-1].start], parts[-1].start
    return data[:end] + last * (number - len(found)) + data[end:]


def recoded(marker: int) -> bytes:
    """A JPEG whose frame says that its pixels are coded in another way."""
    at = JPEG.index(b"\xff\xc0") + 1
    return JPEG[:at] + bytes([marker]) + JPEG[at + 1 :]


def png_with_xmp(packet: bytes) -> bytes:
    at = PNG.index(b"IDAT") - 4
    return PNG[:at] + chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet) + PNG[at:]


def webp_with_xmp(packet: bytes) -> bytes:
    return photo("WEBP", xmp=packet)


def packet_of(inside: bytes) -> bytes:
    return (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"'
        b' xmlns:a="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">' + inside + b"</r:RDF></x:xmpmeta>"
    )


def of_parts(whole: bytes, at: int, part: bytes, number: int) -> bytes:
    return whole[:at] + part * number + whole[at:]


def compressed(kind: bytes, before: bytes, size: int) -> bytes:
    """A PNG with a chunk whose text or profile unfolds to `size` bytes."""
    at = PNG.index(b"IDAT") - 4
    return PNG[:at] + chunk(kind, before + zlib.compress(bytes(size), 9)) + PNG[at:]


def plain(format_: str, side: int, **options: object) -> Callable[[], bytes]:
    """A picture with so few details that its file is small."""

    def make() -> bytes:
        shade = Image.linear_gradient("L").resize((side, side))
        out = io.BytesIO()
        Image.merge("RGB", (shade, shade, shade)).save(out, format_, **options)
        return out.getvalue()

    return make


def deep_bomb() -> bytes:
    """A PNG of 16 bits a value whose pixels unfold to 96 MB."""
    return png(4_000, 4_000, bytes(4_000 * (4_000 * 6 + 1)), depth=16)


BEHIND = 2 + 18  # bytes of a JPEG before its first table, its JFIF segment included

CASES: tuple[Case, ...] = (
    refused("a progressive JPEG of 101 scans", lambda: scans(101), "scans, 100"),
    refused("a progressive JPEG of 500 scans", lambda: scans(500), "scans, 100"),
    refused("a progressive JPEG of 3,000 scans", lambda: scans(3_000), "scans, 100"),
    refused("a large JPEG of 60 scans", lambda: scans(60, 4_000), "scans, 37"),
    survived("a progressive JPEG of 90 scans", lambda: scans(90), "few enough"),
    refused("a JPEG with arithmetic coding", recoded(0xC9), "arithmetic"),
    refused("a progressive JPEG with arithmetic coding", recoded(0xCA), "arithmetic"),
    refused("a JPEG of 300,000 empty segments", lambda: of_parts(JPEG, BEHIND, b"\xff\xe5\0\2", 300_000), "parts"),
    refused("a JPEG of 300,000 comments", lambda: of_parts(JPEG, BEHIND, b"\xff\xfe\0\3x", 300_000), "parts"),
    refused("a JPEG whose segments have no length", lambda: of_parts(JPEG, BEHIND, b"\xff\xe5\0\0", 300_000), "parts"),
    refused("a PNG of 300,000 empty chunks", lambda: of_parts(PNG, 33, chunk(b"haXX", b""), 300_000), "parts"),
    refused("a PNG of 300,000 empty texts", lambda: of_parts(PNG, 33, chunk(b"tEXt", b"k\0"), 300_000), "parts"),
    refused(
        "a PNG whose pixels lie in 300,000 chunks", lambda: of_parts(PNG, 33, chunk(b"IDAT", b""), 300_000), "parts"
    ),
    refused(
        "a PNG whose profile unfolds to 50 MB", lambda: compressed(b"iCCP", b"p\0\0", 50 * MEGABYTE), "Decompressed"
    ),
    refused("a PNG whose text unfolds to 50 MB", lambda: compressed(b"zTXt", b"k\0\0", 50 * MEGABYTE), "Decompressed"),
    survived("a PNG of 16 bits that unfolds to 96 MB", deep_bomb, "made 8-bit line by line"),
    refused("a small WebP of 25 megapixels", plain("WEBP", 5_000, method=0), "decompress"),
    refused(
        "a progressive JPEG of 64 megapixels in full color",
        plain("JPEG", 8_000, progressive=True, subsampling=0),
        "scans, 9",
    ),
    survived("a JPEG of 100 megapixels", plain("JPEG", 10_000), "decoded at an eighth of its size"),
    survived("a million spaces behind a JPEG", lambda: JPEG + b"<" + b" " * MEGABYTE, "padding is harmless"),
    survived("a million opening brackets behind a JPEG", lambda: JPEG + b"< " * MEGABYTE, "padding is harmless"),
    refused("an archive behind a megabyte of zeros", lambda: JPEG + bytes(MEGABYTE) + zipped(), "ZIP"),
    survived("an XMP packet of opened source types", lambda: png_with_xmp(OPENING * 10_000), "replaced by ours"),
    survived("2 MB of opened source types in a PNG", lambda: png_with_xmp(OPENING * 100_000), "replaced by ours"),
    survived("2 MB of opened source types in a WebP", lambda: webp_with_xmp(OPENING * 100_000), "replaced by ours"),
    survived(
        "source types that never end", lambda: png_with_xmp(b"<a:DigitalSourceType " * 10_000), "replaced by ours"
    ),
    survived(
        "source types without a closing quote",
        lambda: png_with_xmp(packet_of(b"<b " + (STATED + b"'x ") * 9_000)),
        "replaced by ours",
    ),
    survived(
        "a start tag of 200 KB of spaces", lambda: png_with_xmp(packet_of(b"<b" + b" " * 200_000 + b"/>")), "kept"
    ),
    survived(
        "ten thousand attributes",
        lambda: png_with_xmp(packet_of(b"<b " + b" ".join(b"a%d='x'" % n for n in range(10_000)) + b"/>")),
        "kept",
    ),
    survived(
        "ten thousand source types in order",
        lambda: png_with_xmp(packet_of(b"<a:DigitalSourceType/>" * 10_000)),
        "taken out",
    ),
    survived(
        "an XMP packet nested 30,000 deep", lambda: png_with_xmp(packet_of(b"<b>" * 30_000 + b"</b>" * 30_000)), "kept"
    ),
    survived("an XMP packet of entities in entities", lambda: png_with_xmp(laughs()), "replaced by ours"),
    survived(
        "an XMP packet in UTF-16", lambda: png_with_xmp(packet_of(b"").decode().encode("utf-16")), "replaced by ours"
    ),
    survived("a comment of 60 KB", lambda: photo(comment=b"<" * 60_000), "ignored"),
)


def laughs() -> bytes:
    """Entities that unfold to three billion words."""
    names = [f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10)]
    return f"<!DOCTYPE l [<!ENTITY l0 'ha'>{''.join(names)}]><l>&l9;</l>".encode()


AREAS = (
    Area(
        "Pictures made to be slow or large",
        "each decoded, marked and made smaller as a result, in a process of its own: 2 s of CPU and 300 MB are the most"
        " that one may take",
        CASES,
    ),
)
