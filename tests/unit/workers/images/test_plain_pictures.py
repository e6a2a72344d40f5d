"""240 pictures of twelve cameras' and phones' kinds, at a provider that reads only 8-bit sRGB JPEG and PNG."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from providers.spec import Fit, Need, Via
from workers.images.decoding import MAX_DECODED_BYTES
from workers.images.fit import fitted
from workers.images.foreign import PIXEL_BYTES, local_header, readable
from workers.images.headers import inspect
from workers.images.inputs import BadInputError, load_image
from workers.images.segments import BadPictureError
from workers.images.verify import verify

pytestmark = pytest.mark.heavy

SILENT = Need(Via.BYTES)
NARROW = Need(Via.BYTES, media_types=("image/jpeg", "image/png"))
#: The colors of the four quarters, from the left upper one: all within sRGB, also as Display P3.
COLORS = [(180, 90, 80), (110, 150, 95), (90, 100, 170), (200, 185, 120)]
ORIENTATION = 0x0112
#: What makes an upright picture one that EXIF's value turns upright again.
TURNED = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def quarters(number: int) -> Image.Image:
    """An upright picture whose quarters differ, of a size and in an order of colors that `number` gives."""
    width, height = 64 + 16 * (number % 5), 96 + 16 * (number % 3)
    image = Image.new("RGB", (width, height))
    for at in range(4):
        left, top = (at % 2) * width // 2, (at // 2) * height // 2
        image.paste(COLORS[(at + number) % 4], (left, top, left + width // 2, top + height // 2))
    return image


def saved(image: Image.Image, form: str, **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **({"quality": 95, "subsampling": "4:4:4"} if form == "JPEG" else {}), **more)
    return out.getvalue()


def turned(image: Image.Image, form: str, number: int) -> bytes:
    value = 1 + number % 8
    turn = TURNED[value]
    exif = Image.Exif()
    exif[ORIENTATION] = value
    return saved(image if turn is None else image.transpose(turn), form, exif=exif)


def deep(image: Image.Image) -> bytes:
    """A PNG of 16 bits, which Pillow does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    width, height = image.size
    rows = (image.crop((0, y, width, y + 1)).tobytes() for y in range(height))
    deep_rows = (b"".join(struct.pack(">H", value * 257) for value in row) for row in rows)
    lines = zlib.compress(b"".join(b"\0" + row for row in deep_rows))
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


GAMMA = 2.2
P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
TO_SRGB = ((3.1338561, -1.6168667, -0.4906146), (-0.9787684, 1.9161415, 0.033454), (0.0719453, -0.2289914, 1.4052427))


def p3_profile() -> bytes:
    """Display P3 with a plain gamma, as an ICC profile of version 2 (ICC.1:2001-04)."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def xyz(values: tuple[float, ...]) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    name = b"Display P3\0"
    curve = b"curv" + struct.pack(">IIH", 0, 1, round(GAMMA * 256)) + b"\0\0"
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78 + 1),
        b"cprt": b"text\0\0\0\0none\0\0\0\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)), b"rXYZ": xyz(P3[0]), b"gXYZ": xyz(P3[1]), b"bXYZ": xyz(P3[2]),
        b"rTRC": curve, b"gTRC": curve, b"bTRC": curve,
    }  # fmt: skip
    table, data, at = b"", b"", 128 + 4 + 12 * len(tags)
    for tag, content in tags.items():
        padded = content + bytes(-len(content) % 4)
        table += tag + struct.pack(">II", at, len(content))
        data, at = data + padded, at + len(padded)
    header = struct.pack(">I4sI4s4s4s", at, b"lcms", 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12) + b"acsp"
    header += bytes(28) + b"".join(map(fixed, (0.9642, 1.0, 0.8249))) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + data


def in_srgb(color: tuple[int, int, int]) -> tuple[int, ...]:
    """What a Display P3 color is in sRGB, by the matrices alone."""
    linear = [(value / 255) ** GAMMA for value in color]
    xyz = [sum(linear[at] * P3[at][axis] for at in range(3)) for axis in range(3)]
    shown = [sum(row[axis] * xyz[axis] for axis in range(3)) for row in TO_SRGB]
    return tuple(round(255 * (12.92 * x if x <= 0.0031308 else 1.055 * max(x, 0) ** (1 / 2.4) - 0.055)) for x in shown)


def with_alpha(image: Image.Image) -> Image.Image:
    grey = image.convert("L")
    return Image.merge("LA", (grey, Image.new("L", image.size, 255)))


def greys(color: tuple[int, int, int]) -> tuple[int, ...]:
    grey = round(color[0] * 0.299 + color[1] * 0.587 + color[2] * 0.114)
    return (grey,) * 3


def heic(image: Image.Image, number: int) -> bytes:
    pytest.importorskip("pillow_heif")
    readable()  # lets Pillow write them, too
    value = 1 + number % 8
    turn = TURNED[value]
    stored = image if turn is None else image.transpose(turn)
    exif = Image.Exif()
    exif[ORIENTATION] = value
    stored.info["exif"] = exif.tobytes()  # written as a turn of the file's own, as phones do
    return saved(stored, "HEIF", quality=95)


Kind = tuple[Callable[[Image.Image, int], bytes], Callable[[tuple[int, int, int]], tuple[int, ...]]]
KINDS: dict[str, Kind] = {
    "a phone's JPEG, turned": (lambda image, number: turned(image, "JPEG", number), tuple),
    "a PNG, turned": (lambda image, number: turned(image, "PNG", number), tuple),
    "a WebP, turned": (lambda image, number: turned(image, "WEBP", number), tuple),
    "printing inks": (lambda image, _: saved(image.convert("CMYK"), "JPEG"), tuple),
    "16 bits": (lambda image, _: deep(image), tuple),
    "16 bits of grey": (
        lambda image, _: saved(image.convert("L").convert("I").point(lambda value: value * 257).convert("I;16"), "PNG"),
        greys,
    ),
    "Display P3": (lambda image, _: saved(image, "JPEG", icc_profile=p3_profile()), in_srgb),
    "grey with alpha": (lambda image, _: saved(with_alpha(image), "PNG"), greys),
    "a palette": (lambda image, _: saved(image.quantize(16), "PNG"), tuple),
    "AVIF": (lambda image, number: turned(image, "AVIF", number), tuple),
    "HEIC": (heic, tuple),
    "several pictures in one": (
        lambda image, _: saved(image, "MPO", save_all=True, append_images=[image.resize((8, 8))], quality=95),
        tuple,
    ),
}  # fmt: skip


def read_simply(data: bytes) -> Image.Image:
    """The picture as a provider shows it that ignores EXIF and profiles, and reads JPEG and PNG of 8 bits only."""
    image = Image.open(io.BytesIO(data))
    assert data.startswith((b"\xff\xd8\xff", b"\x89PNG"))
    assert image.mode in {"L", "RGB", "RGBA"}
    assert image.format != "PNG" or data[24] == 8
    assert image.getexif().get(ORIENTATION, 1) == 1
    return image.convert("RGB")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_shown_upright_and_in_its_colors(kind: str) -> None:
    make, expected = KINDS[kind]
    for number in range(20):
        image = quarters(number)
        data = make(image, number)
        loaded = load_image("source", "x", data)
        made = fitted(loaded.data, loaded.picture, NARROW, Fit.REJECT, plain=True)
        verify(made)
        shown = read_simply(made)
        assert shown.size == image.size, number
        for at in range(4):
            place = (image.width * (1 + 2 * (at % 2)) // 4, image.height * (1 + 2 * (at // 2)) // 4)
            seen, wanted = shown.getpixel(place), expected(COLORS[(at + number) % 4])
            assert isinstance(seen, tuple)
            assert all(abs(a - b) <= 10 for a, b in zip(seen, wanted, strict=True)), (number, at, seen, wanted)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"several pictures in one", "AVIF", "HEIC"}))
def test_a_provider_that_says_nothing_gets_them_plain_too_and_as_they_are_where_that_is_off(kind: str) -> None:
    data = KINDS[kind][0](quarters(5), 5)
    assert fitted(data, inspect(data), SILENT, Fit.REJECT, plain=True) is not data
    assert fitted(data, inspect(data), SILENT, Fit.REJECT, plain=False) is data


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_what_is_plain_is_handed_on_byte_by_byte(form: str, mode: str) -> None:
    for more in ({}, {"icc_profile": b"damaged" * 20}):
        data = saved(quarters(1).convert(mode), form, **more)
        assert fitted(data, inspect(data), SILENT, Fit.REJECT, plain=True) is data


@pytest.mark.parametrize("form", ["AVIF", "HEIF"])
def test_foreign_pictures_are_looked_at_in_a_catalog_and_refused_where_they_are_damaged(
    form: str, tmp_path: Path
) -> None:
    if form not in readable():
        pytest.skip("the extra heic is not installed")
    data = saved(quarters(1), form)
    (tmp_path / "x").write_bytes(data)
    assert (local_header(tmp_path / "x").width, local_header(tmp_path / "x").height) == quarters(1).size
    for damaged in (data[: len(data) // 2], data[:40], data[:12] + bytes(500)):
        with pytest.raises(BadInputError):
            load_image("source", "x", damaged)


def test_a_large_or_animated_avif_is_refused_before_it_is_decoded(tmp_path: Path) -> None:
    side = int((MAX_DECODED_BYTES / PIXEL_BYTES) ** 0.5) + 100
    large = saved(Image.new("L", (side, side)), "AVIF", speed=10)
    moving = saved(quarters(1), "AVIF", save_all=True, append_images=[quarters(1).rotate(180)])
    for data, fact in ((large, "megapixels"), (moving, "animated")):
        (tmp_path / "x.avif").write_bytes(data)
        with pytest.raises(BadPictureError, match=fact):
            local_header(tmp_path / "x.avif")
        with pytest.raises(BadInputError, match=fact):
            load_image("source", "x", data)
