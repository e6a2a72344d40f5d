"""Originals got back from marked files."""

from __future__ import annotations

import io
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from PIL import Image

from workers.images import originals
from workers.images.originals import Mark, mark_of, pieces, without
from workers.images.provenance import SOURCE_TYPES, marked

TERM = SOURCE_TYPES["swap"]


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=20), st.integers(0, 60))
def test_what_was_put_in_can_be_taken_out(original: bytes, put: bytes, at: int) -> None:
    made = original[:at] + put + original[at:]
    assume(not made.startswith(b"RIFF"))
    mark = mark_of(original, made)
    assert mark is not None
    assert mark.length == len(put)
    assert without(mark, made) == original


@given(st.sampled_from([b"", b"RIFF"]), st.binary(max_size=60), st.sampled_from([b"", b"RIFF"]), st.binary(max_size=60))
def test_no_mark_is_found_that_does_not_lead_back(first: bytes, one: bytes, second: bytes, other: bytes) -> None:
    original, made = first + one, second + other
    mark = mark_of(original, made)
    assert mark is None or without(mark, made) == original


def webp(*, alpha: bool = False, frames: int = 1, **options: object) -> bytes:
    out = io.BytesIO()
    image = Image.linear_gradient("L").resize((41, 30)).convert("RGB")
    if alpha:
        image.putalpha(Image.radial_gradient("L").resize(image.size))
    if frames > 1:
        others = [image.rotate(90 * number) for number in range(1, frames)]
        options |= {"save_all": True, "append_images": others, "duration": 50}
    image.save(out, "WEBP", **options)
    return out.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def with_chunk(data: bytes, kind: bytes, body: bytes) -> bytes:
    """A WebP with a chunk at its end, whatever its features say."""
    made = data[12:] + chunk(kind, body)
    return b"RIFF" + struct.pack("<I", len(made) + 4) + b"WEBP" + made


EXTENDED = webp(exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", quality=80)
WEBPS = {
    "lossy": webp(quality=80),
    "lossless": webp(lossless=True),
    "lossy with alpha": webp(alpha=True, quality=80),
    "lossless with alpha": webp(alpha=True, lossless=True),
    "animated": webp(frames=3),
    "extended": EXTENDED,
    "a chunk of no known kind": with_chunk(webp(quality=80), b"note", b"odd"),
    "something behind its end": webp(quality=80) + b"rest",
    "extended, something behind its end": EXTENDED + b"odd",
}


@pytest.mark.parametrize("data", WEBPS.values(), ids=WEBPS)
def test_a_webp_is_got_back_byte_for_byte(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = marked(data, "image/webp", TERM)
    mark = mark_of(data, made)
    assert mark is not None
    assert without(mark, made) == data
    assert mark.length == len(made) - len(data), "so that the original's length is known before it is read"
    monkeypatch.setattr(originals, "CHUNK_BYTES", 7)
    assert b"".join(pieces(io.BytesIO(made), mark)) == data
    assert mark_of(made, marked(made, "image/webp", SOURCE_TYPES["generate"])) is None, "an older mark is replaced"


def test_the_webps_are_of_every_kind() -> None:
    kinds = {name: data[12:16] for name, data in WEBPS.items()}
    assert {kinds["lossy"], kinds["lossless"]} == {b"VP8 ", b"VP8L"}
    assert {kinds["animated"], kinds["extended"], kinds["lossy with alpha"]} == {b"VP8X"}


def test_a_webp_that_said_it_had_a_packet_and_had_none_is_stored_beside() -> None:
    data = bytearray(EXTENDED)
    data[20] |= 0x04
    assert mark_of(bytes(data), marked(bytes(data), "image/webp", TERM)) is None


@pytest.mark.parametrize(("form", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png")])
def test_the_marks_of_pictures_are_found(form: str, media_type: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (40, 30), "teal").save(out, form)
    data = out.getvalue()
    made = marked(data, media_type, TERM)
    mark = mark_of(data, made)
    assert isinstance(mark, Mark)
    assert without(mark, made) == data
    # One that has a mark already gets it replaced, and the file before that is not what is left.
    assert mark_of(made, marked(made, media_type, SOURCE_TYPES["generate"])) is None
