"""Marks of synthetic pictures: any reader finds them, no pixel changes, and what the file said already stays."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from workers.images.provenance import SOURCE_TYPES, marked
from workers.images.verify import verify

KEY = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}DigitalSourceType"
SWAP, GENERATED = SOURCE_TYPES["swap"], SOURCE_TYPES["generate"]

PACKET = (
    b'<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><r:Description r:about=""'
    b' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:ext="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
    b' dc:creator="Jane Doe" %b>%b</r:Description></r:RDF></x:xmpmeta><?xpacket end="w"?>'
)
CAMERA = b"http://cv.iptc.org/newscodes/digitalsourcetype/digitalCapture"
OLDER_WORDS = {
    "none": (b"", b""),
    "an attribute": (b'ext:DigitalSourceType="%b"' % CAMERA, b""),
    "an element": (b"", b"<ext:DigitalSourceType>%b</ext:DigitalSourceType>" % CAMERA),
    "an empty element": (b"", b'<ext:DigitalSourceType r:resource="%b"/>' % CAMERA),
}

KINDS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "jpeg": ("JPEG", "RGB", {}),
    "jpeg, grey and progressive": ("JPEG", "L", {"progressive": True}),
    "jpeg, four inks": ("JPEG", "CMYK", {}),
    "jpeg, with a thumbnail's worth of Exif": ("JPEG", "RGB", {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"}),
    "png": ("PNG", "RGB", {}),
    "png, transparent": ("PNG", "RGBA", {}),
    "png, palette": ("PNG", "P", {}),
    "png, 16 bits": ("PNG", "I;16", {}),
    "webp, lossy": ("WEBP", "RGB", {}),
    "webp, lossy and transparent": ("WEBP", "RGBA", {}),
    "webp, lossless": ("WEBP", "RGB", {"lossless": True}),
    "webp, lossless and transparent": ("WEBP", "RGBA", {"lossless": True}),
}


def picture(kind: str, size: tuple[int, int] = (37, 21), **more: Any) -> bytes:
    format_, mode, options = KINDS[kind]
    out = io.BytesIO()
    image = Image.effect_noise(size, 60).convert("RGB")
    if mode == "RGBA":
        image.putalpha(Image.effect_noise(size, 90))
    image.convert(mode).save(out, format_, **options, **more)
    return out.getvalue()


def with_xmp(format_: str, packet: bytes) -> bytes:
    if format_ == "PNG":
        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", packet.decode())
        return picture("png", pnginfo=info)
    return picture(format_.lower() if format_ == "JPEG" else "webp, lossy", xmp=packet)


def mark(data: bytes, source_type: str = SWAP) -> bytes:
    return marked(data, verify(data).media_type, source_type)


def said(data: bytes) -> list[str]:
    """Every value of the Digital Source Type that Pillow reads, and the author."""
    with Image.open(io.BytesIO(data)) as image:
        found = image.getxmp()["xmpmeta"]["RDF"]["Description"]
    descriptions = found if isinstance(found, list) else [found]
    return [str(item[name]) for item in descriptions for name in ("creator", "DigitalSourceType") if name in item]


def pixels(data: bytes) -> tuple[str, tuple[int, int], bytes]:
    with Image.open(io.BytesIO(data)) as image:
        return image.mode, image.size, image.tobytes()


@pytest.mark.parametrize("source_type", [SWAP, GENERATED])
@pytest.mark.parametrize("kind", KINDS)
def test_the_mark_is_read_and_no_pixel_changes(kind: str, source_type: str) -> None:
    data = picture(kind)
    made = mark(data, source_type)

    assert said(made) == [source_type]
    assert pixels(made) == pixels(data)
    assert verify(made) == verify(data)


@pytest.mark.parametrize("kind", KINDS)
def test_everything_else_in_the_file_stays(kind: str) -> None:
    data = picture(kind)
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(mark(data))) as after:
        kept = {name: value for name, value in after.info.items() if name not in {"xmp", "XML:com.adobe.xmp"}}
        assert kept == before.info


@pytest.mark.parametrize("kind", KINDS)
def test_marking_is_repeatable_and_marking_again_changes_the_word_only(kind: str) -> None:
    data = picture(kind)
    assert mark(data) == mark(data)
    assert said(mark(mark(data, SWAP), GENERATED)) == [GENERATED]
    assert pixels(mark(mark(data))) == pixels(data)


@pytest.mark.parametrize("older", OLDER_WORDS)
@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
def test_what_a_packet_said_stays_but_for_an_older_word_on_the_question(format_: str, older: str) -> None:
    made = mark(with_xmp(format_, PACKET % OLDER_WORDS[older]))
    assert said(made) == ["Jane Doe", SWAP]
    assert CAMERA not in made


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param("\ufeff<x/>".encode("utf-16-le"), id="UTF-16"),
        pytest.param(b"no packet at all", id="no XML"),
        pytest.param(PACKET.replace(b"</r:RDF>", b"</r:RDF") % (b"", b""), id="damaged"),
        pytest.param(b"<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + PACKET % (b"", b"&a;"), id="entities"),
        pytest.param(PACKET % (b"", b"") * 2, id="two packets in one"),
        pytest.param(PACKET % (b"", b"x" * 64_900), id="no room for more"),
    ],
)
def test_a_packet_that_cannot_be_added_to_is_replaced(packet: bytes) -> None:
    assert said(mark(with_xmp("JPEG", packet))) == [SWAP]


def test_segments_lie_where_their_standards_want_them() -> None:
    made = mark(picture("jpeg, with a thumbnail's worth of Exif"))
    assert made.index(b"JFIF\0") < made.index(b"Exif\0\0") < made.index(b"http://ns.adobe.com/xap/1.0/\0")
    assert mark(picture("png"))[12:16] == b"IHDR"


def test_a_compressed_packet_of_a_png_gives_way_to_ours() -> None:
    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", (PACKET % (b"", b"")).decode(), zip=True)
    made = mark(picture("png", pnginfo=info))
    assert said(made) == [SWAP]
    assert made.count(b"XML:com.adobe.xmp") == 1


def test_a_phones_second_picture_and_what_follows_the_end_stay() -> None:
    out = io.BytesIO()
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 16), "blue")
    first.save(out, "MPO", save_all=True, append_images=[second])
    made = mark(out.getvalue() + b"depth map")
    with Image.open(io.BytesIO(made)) as image:
        image.seek(1)
        assert image.size == (20, 16)
        assert image.convert("RGB").getpixel((3, 3)) == second.convert("YCbCr").convert("RGB").getpixel((3, 3))
    assert made.endswith(b"depth map")


def test_a_chunk_before_the_header_is_no_trap() -> None:
    data = picture("png")
    text = b"iTXtXML:com.adobe.xmp\0\0\0\0\0<x/>"
    odd = data[:8] + struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text)) + data[8:]
    made = marked(odd, "image/png", SWAP)
    assert said(made) == [SWAP]


@settings(max_examples=60)
@given(size=st.tuples(st.integers(1, 40), st.integers(1, 40)), kind=st.sampled_from(sorted(KINDS)))
def test_any_size_of_any_kind_is_marked(size: tuple[int, int], kind: str) -> None:
    data = picture(kind, size)
    made = mark(data)
    assert said(made) == [SWAP]
    assert pixels(made) == pixels(data)
