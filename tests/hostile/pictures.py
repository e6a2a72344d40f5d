"""Pictures: what people and providers send in place of one, or hidden in one."""

from __future__ import annotations

import gzip
import io
import struct
import zipfile
import zlib
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.hostile.cases import Area, Case, refused, survived

SIDE = 96


def saved(image: Image.Image, format_: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def noise(mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    return Image.effect_noise(size, 60).convert(mode)


def photo(format_: str = "JPEG", mode: str = "RGB", **options: Any) -> bytes:
    """A sound picture with some detail in it."""
    return saved(noise(mode), format_, **options)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes = b"", *more: bytes, depth: int = 8, color: int = 2) -> bytes:
    """A PNG that claims a size, with these compressed pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    chunks = [chunk(b"IHDR", head), *more, chunk(b"IDAT", zlib.compress(data, 9)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def bomb() -> bytes:
    return png(50_000, 50_000)


def plain_bomb() -> bytes:
    """A PNG that is in order, small, and unfolds to 75 MB of one colour."""
    return saved(Image.new("RGB", (5_000, 5_000)), "PNG")


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("payload.sh", "echo")
    return out.getvalue()


def moving(format_: str) -> bytes:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "green", "blue")]
    return saved(frames[0], format_, save_all=True, append_images=frames[1:], duration=100)


def damaged(data: bytes, at: int, value: int) -> bytes:
    made = bytearray(data)
    made[at] = value
    return bytes(made)


def with_exif(tag: int, value: Any) -> bytes:
    exif = Image.Exif()
    exif[tag] = value
    return photo(exif=exif.tobytes())


def text_chunk(size: int) -> bytes:
    """A compressed text that unfolds to `size` bytes."""
    info = PngInfo()
    info.add_text("Comment", "A" * size, zip=True)
    return photo("PNG", pnginfo=info)


def jpeg_with(segment: bytes, data: bytes) -> bytes:
    """A photo with a further segment behind its beginning."""
    whole = photo()
    return whole[:2] + segment + struct.pack(">H", len(data) + 2) + data + whole[2:]


def webp_claiming(width: int, height: int) -> bytes:
    """An extended WebP whose canvas is that large, around a small frame."""
    small = photo("WEBP")
    frame = small[12:]
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + bytes(4)
    body += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little") + frame
    return b"RIFF" + struct.pack("<I", len(body)) + body


def gifar() -> bytes:
    return b"GIF89a" + bytes(10) + zipped()


JPEG, PNG, WEBP = photo("JPEG"), photo("PNG"), photo("WEBP")


def tall_jpeg() -> bytes:
    """A JPEG that claims 65,500 lines of 65,500 pixels."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", 65_500, 65_500) + JPEG[at + 4 :]


CASES: tuple[Case, ...] = (
    refused("nothing", b"", "empty"),
    refused("one byte", b"\xff", "not a picture"),
    refused("zeros", bytes(4_096), "not a picture"),
    refused("a web page", b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    refused("a web page behind a byte order mark", b"\xef\xbb\xbf<html>", "web page"),
    refused("storage's error in XML", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
    refused("an XML bomb", b"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY a 'aaaa'>]><l>&a;</l>", "XML"),
    refused("an SVG with a script", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>", "SVG"),
    refused("an SVG behind comments", b"<?xml version='1.0'?><!-- x --><svg onload='alert(1)'/>", "SVG"),
    refused("a JSON error", b'{"error": "quota"}', "JSON"),
    refused("plain text", b"Not Found", "text"),
    refused("a PDF", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "PDF"),
    refused("PostScript", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text"),
    refused("a ZIP archive", zipped(), "ZIP"),
    refused("a GIF", lambda: saved(noise("P"), "GIF"), "GIF"),
    refused("a GIF that is also an archive", gifar(), "GIF"),
    refused("a GIF bomb", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + bytes(20), "GIF"),
    refused("a TIFF", lambda: saved(noise(), "TIFF"), "TIFF"),
    refused("a TIFF bomb", b"II*\0\x08\0\0\0" + b"\x01\0" + struct.pack("<HHII", 256, 4, 1, 2**31 - 1), "TIFF"),
    refused("a BMP", lambda: saved(noise(), "BMP"), "BMP"),
    refused("an AVIF", b"\0\0\0\x20ftypavif" + bytes(64), "AVIF"),
    refused("a damaged HEIC", b"\0\0\0\x18ftypheic" + bytes(64), "HEIC"),
    refused("a video", b"\0\0\0\x18ftypisom" + bytes(64), "video"),
    refused("an icon", lambda: saved(noise(), "ICO"), "not a picture"),
    refused("a program", b"\x7fELF\x02\x01\x01" + bytes(64), "not a picture"),
    refused("a gzipped JPEG", lambda: gzip.compress(JPEG), "not a picture"),
    refused("a JPEG's first bytes only", JPEG[:3], "damaged"),
    refused("half a JPEG", JPEG[: len(JPEG) // 2], "truncated"),
    refused("a JPEG without its end", JPEG[:-2], "truncated"),
    refused("a JPEG whose segment runs past its end", jpeg_with(b"\xff\xe2", b"x" * 10)[:8] + b"\xff\xff", "damaged"),
    refused("a JPEG of no lines", lambda: damaged(JPEG, JPEG.index(b"\xff\xc0") + 6, 0), "damaged"),
    refused("a JPEG of 65,500 lines of nothing", tall_jpeg, "pixels"),
    refused("half a PNG", PNG[: len(PNG) // 2], "truncated"),
    refused("a PNG without its end", PNG[:-12], "truncated"),
    refused("a PNG with a wrong checksum", lambda: damaged(PNG, len(PNG) // 2, PNG[len(PNG) // 2] ^ 255), "checksum"),
    refused("a PNG of 50,000 x 50,000 pixels", bomb(), "pixels"),
    refused("a PNG of 2,147,483,647 pixels a side", png(2**31 - 1, 2**31 - 1), "100,000,000"),
    refused("a PNG without width", png(0, 10), "damaged"),
    refused("a small PNG that unfolds to 75 MB", plain_bomb, "decompress"),
    refused("a PNG with too few pixels", png(64, 64, b"\0" * 100), "damaged"),
    refused("a PNG of an impossible depth", png(8, 8, bytes(400), depth=7), "damaged"),
    refused("a PNG whose text unfolds to 20 MB", lambda: text_chunk(20_000_000), "Decompressed"),
    refused("an animated PNG", lambda: moving("PNG"), "animated"),
    refused("half a WebP", WEBP[: len(WEBP) // 2], "damaged"),
    refused("a WebP that claims to be longer", WEBP[:4] + struct.pack("<I", len(WEBP) + 100) + WEBP[8:], "damaged"),
    refused("a WebP of 16,383 x 16,383 pixels", lambda: webp_claiming(16_383, 16_383), "100,000,000"),
    refused("an animated WebP", lambda: moving("WEBP"), "animated"),
    refused("a RIFF with sound", b"RIFF\x24\0\0\0WAVEfmt " + bytes(28), "not a picture"),
    refused("a JPEG with an archive behind it", JPEG + zipped(), "ZIP"),
    refused("a PNG with an archive behind it", PNG + zipped(), "ZIP"),
    refused("a JPEG with a page behind it", JPEG + b"<html><script>alert(1)</script>", "follows the end"),
    refused("a WebP with a PDF behind it", WEBP + b"%PDF-1.4 ...", "follows the end"),
    refused("a PNG with PHP behind it", PNG + b"<?php system($_GET['c']);", "follows the end"),
    refused("a JPEG that ends twice around a page", JPEG + b"\xff\xd9<html>\xff\xd9", "follows the end"),
    survived("a JPEG with a page in its comment", photo(comment=b"<html><script>alert(1)</script>"), "it stays a JPEG"),
    survived("a PNG under a name in JPEG", PNG, "judged by its bytes"),
    survived("a JPEG with padding behind it", JPEG + bytes(500), "padding is harmless"),
    survived("Exif with a rotation", with_exif(0x0112, 6), "size as stored"),
    survived("Exif with an invalid rotation", with_exif(0x0112, 9), "ignored"),
    survived("Exif with a wrong size", with_exif(0xA002, 100_000), "ignored"),
    survived("Exif with a formula for an author", with_exif(0x013B, "=cmd|' /C calc'!A0"), "kept"),
    survived("Exif that is cut off", jpeg_with(b"\xff\xe1", b"Exif\0\0MM\0*\0\0"), "ignored"),
    survived(
        "Exif whose directory is itself", jpeg_with(b"\xff\xe1", b"Exif\0\0II*\0\x08\0\0\0" + b"\0" * 6), "ignored"
    ),
    survived("an ICC profile of noise", photo(icc_profile=bytes(range(256))), "kept"),
    survived("an XMP packet of entities", photo(xmp=b"<!DOCTYPE x [<!ENTITY a 'a'>]><x>&a;</x>"), "replaced by ours"),
    survived("greys", photo(mode="L"), "a picture"),
    survived("printing inks", photo(mode="CMYK"), "a picture"),
    survived("a palette", photo("PNG", "P"), "a picture"),
    survived("one bit a pixel", photo("PNG", "1"), "a picture"),
    survived("16 bits of grey", lambda: saved(noise("I;16"), "PNG"), "a picture"),
    survived("all transparent", lambda: saved(Image.new("RGBA", (SIDE, SIDE)), "PNG"), "a picture"),
    survived("grey and transparent", photo("PNG", "LA"), "a picture"),
    survived("a lossless WebP", photo("WEBP", lossless=True), "a picture"),
    survived("a progressive JPEG", photo(progressive=True), "a picture"),
    survived("one pixel", saved(noise(size=(1, 1)), "PNG"), "a picture"),
    survived("10,000 pixels by one", saved(noise(size=(10_000, 1)), "PNG"), "a picture"),
    survived("unknown chunks", png(1, 1, bytes(4), chunk(b"haXX", b"x" * 9)), "ignored"),
    survived("a JPEG with another behind it", JPEG + JPEG, "its first picture"),
)


AREAS = (
    Area(
        "Pictures",
        "each as a job's input, before it is paid for, and as a provider's result, saved by one slice of a store pump"
        " together with valid pictures",
        CASES,
    ),
)
