"""Pictures are what their bytes say: formats, sizes, damage, and what hides in or behind them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.words import names
from workers.images.headers import Picture, header, inspect
from workers.images.segments import BadPictureError
from workers.images.thumbnails import thumbnail
from workers.images.verify import verify


def picture(format_: str, size: tuple[int, int] = (64, 48), mode: str = "RGB", **options: object) -> bytes:
    """A picture with some detail in it, so that truncation takes away pixels."""
    image = Image.effect_noise(size, 60).convert(mode)
    out = io.BytesIO()
    image.save(out, format_, **options)
    return out.getvalue()


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def zipped() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("payload.sh", "echo")
    return out.getvalue()


def multi_picture_jpeg() -> bytes:
    out = io.BytesIO()
    first, second = Image.new("RGB", (40, 30), "red"), Image.new("RGB", (20, 15), "blue")
    first.save(out, "MPO", save_all=True, append_images=[second])
    return out.getvalue()


FORMATS = [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]


@pytest.mark.parametrize(("format_", "media_type"), FORMATS)
def test_a_sound_picture_is_described_and_verified(format_: str, media_type: str) -> None:
    data = picture(format_)
    expected = Picture(media_type=media_type, width=64, height=48, format=format_, animated=False, mode="RGB")
    assert inspect(data) == header(data) == verify(data) == expected


@pytest.mark.parametrize(
    ("format_", "mode", "options"),
    [
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("JPEG", "RGB", {"progressive": True}),
        ("JPEG", "RGB", {"restart_marker_blocks": 1}),
        ("PNG", "RGBA", {}),
        ("PNG", "P", {}),
        ("PNG", "1", {}),
        ("PNG", "I;16", {}),
        ("WEBP", "RGBA", {}),
        ("WEBP", "RGB", {"lossless": True}),
    ],
)
def test_every_kind_of_the_three_formats_is_sound_and_gets_a_thumbnail(
    format_: str, mode: str, options: dict[str, object]
) -> None:
    data = picture(format_, (400, 200), mode, **options)
    assert verify(data).format == format_
    with Image.open(io.BytesIO(thumbnail(data, 100))) as small:
        assert small.size == (100, 50)
        assert small.format == "JPEG" or mode == "RGBA"


def test_a_photo_with_more_pictures_behind_it_is_a_jpeg() -> None:
    data = multi_picture_jpeg()
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "MPO"
    found = verify(data)
    assert (found.format, found.media_type, found.animated, found.width) == ("JPEG", "image/jpeg", False, 40)


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"", "empty"),
        (b"GIF89a" + bytes(20), "GIF"),
        (b"BM" + bytes(20), "BMP"),
        (b"II*\0" + bytes(20), "TIFF"),
        (b"\0\0\0\x20ftypavif" + bytes(20), "AVIF"),
        (b"\0\0\0\x20ftypheic" + bytes(20), "HEIC"),
        (b"\0\0\0\x20ftypisom" + bytes(20), "video"),
        (b"%PDF-1.7\n", "PDF"),
        (zipped(), "ZIP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- c --><!DOCTYPE svg PUBLIC '-//W3C'>\n<svg/>", "SVG"),
        (b"\n <!DOCTYPE html><html><body><svg/>", "web page"),
        (b"\xef\xbb\xbf<HTML>", "web page"),
        (b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", "XML"),
        (b'{"code": 500, "message": "internal"}', "JSON"),
        (b"Not Found", "text"),
        (bytes(100), "not a picture"),
        (b"\xff\xd8\xff", "damaged"),
        (b"\x89PNG\r\n\x1a\n" + bytes(50), "damaged"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(8), "damaged"),
    ],
)
def test_what_is_no_picture_is_named(data: bytes, name: str) -> None:
    for look in (inspect, header, verify, thumbnail):
        with pytest.raises(BadPictureError, match=name):
            look(data)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("kept", [0.3, 0.6, 0.9, 0.99, -2, -1])
def test_a_truncated_picture_is_refused(format_: str, kept: float) -> None:
    data = picture(format_, (320, 240))
    cut = data[: int(kept if kept < 0 else len(data) * kept)]
    with pytest.raises(BadPictureError):
        verify(cut)


def test_a_png_is_refused_for_wrong_pixels_and_for_a_wrong_checksum_alone() -> None:
    data = picture("PNG", (320, 240))
    middle, checksum = len(data) // 2, len(data) - 16  # IEND takes the last 12 bytes
    for position in (middle, checksum):
        damaged = bytearray(data)
        damaged[position] ^= 0xFF
        with pytest.raises(BadPictureError, match="checksum"):
            verify(bytes(damaged))


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "hidden",
    [zipped(), b"<html><script>alert(1)</script>", b"\n<?php system($_GET['c']);", b"%PDF-1.4", b"< SVG onload=x>"],
    ids=["zip", "html", "php", "pdf", "svg"],
)
def test_what_hides_behind_a_picture_is_found(format_: str, hidden: bytes) -> None:
    data = picture(format_)
    verify(data + bytes(64))  # padding is harmless
    with pytest.raises(BadPictureError, match=names("end")):
        verify(data + hidden)
    with pytest.raises(BadPictureError, match=names("end")):
        verify(data + b"\xff\xd9" + bytes(500) + hidden + (b"" if hidden == zipped() else b"\xff\xd9"))


@pytest.mark.parametrize("format_", ["PNG", "WEBP"])
def test_moving_pictures_are_refused(format_: str) -> None:
    frames = [Image.new("RGB", (20, 20), color) for color in ("red", "green", "blue")]
    out = io.BytesIO()
    frames[0].save(out, format_, save_all=True, append_images=frames[1:], duration=100)
    assert inspect(out.getvalue()).animated
    with pytest.raises(BadPictureError, match="animated"):
        verify(out.getvalue())


@pytest.mark.parametrize("size", [(20_000, 20_000), (10_001, 10_000), (2**31 - 1, 2**31 - 1)])
def test_too_many_pixels_are_refused_before_they_are_decoded(size: tuple[int, int]) -> None:
    for look in (inspect, verify, thumbnail):
        with pytest.raises(BadPictureError, match="pixels"):
            look(png_claiming(*size))


def test_a_small_file_that_unfolds_to_a_huge_picture_is_refused() -> None:
    with pytest.raises(BadPictureError, match="decompress"):
        inspect(png_claiming(10_000, 10_000))
    out = io.BytesIO()
    Image.new("RGB", (5000, 5000)).save(out, "PNG")
    with pytest.raises(BadPictureError, match="decompress"):
        inspect(out.getvalue())


def test_a_plain_picture_of_ordinary_size_is_no_bomb() -> None:
    out = io.BytesIO()
    Image.new("RGB", (4000, 3000), "white").save(out, "PNG")
    assert verify(out.getvalue()).width == 4000


def test_a_thumbnail_is_upright_small_and_without_metadata() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    exif[0x010E] = "where it was taken"
    data = picture("JPEG", (800, 400), exif=exif.tobytes(), comment=b"a comment")
    small = thumbnail(data)
    with Image.open(io.BytesIO(small)) as image:
        assert image.size == (160, 320)
        assert not image.getexif()
    assert b"taken" not in small
    assert b"comment" not in small
    assert inspect(data).width == 800  # as stored


def test_a_thumbnail_is_never_larger_than_the_picture() -> None:
    with Image.open(io.BytesIO(thumbnail(picture("PNG", (10, 20))))) as image:
        assert image.size == (10, 20)


def test_a_thumbnail_keeps_transparency_and_deep_greys() -> None:
    out = io.BytesIO()
    Image.new("RGBA", (50, 50), (255, 0, 0, 0)).save(out, "PNG")
    with Image.open(io.BytesIO(thumbnail(out.getvalue()))) as image:
        assert image.convert("RGBA").getpixel((25, 25))[3] == 0  # type: ignore[index]
    out = io.BytesIO()
    Image.new("I;16", (50, 50), 0x8080).save(out, "PNG")
    with Image.open(io.BytesIO(thumbnail(out.getvalue()))) as image:
        assert image.convert("L").getpixel((25, 25)) == pytest.approx(0x80, abs=2)


def test_a_thumbnail_of_a_truncated_picture_is_refused() -> None:
    data = picture("JPEG", (400, 400))
    with pytest.raises(BadPictureError, match="truncated"):
        thumbnail(data[: len(data) // 2])


def test_the_header_of_a_file_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "photo.txt"
    path.write_bytes(picture("PNG", (300, 200), pnginfo=PngInfo())[:-500])
    assert (header(path).width, header(path).height, header(path).media_type) == (300, 200, "image/png")


def test_a_file_that_cannot_be_used_is_told_why(tmp_path: Path) -> None:
    empty, page, loop = tmp_path / "empty.jpg", tmp_path / "page.jpg", tmp_path / "loop.jpg"
    empty.touch()
    page.write_bytes(b"<html>")
    loop.symlink_to(loop)
    for path, why in (
        (tmp_path / "missing.jpg", "does not exist"),
        (tmp_path, "folder"),
        (empty, "empty"),
        (page, "web page"),
        (loop, "cannot be read"),
    ):
        with pytest.raises(BadPictureError, match=why):
            header(path)


def test_many_threads_may_look_at_once() -> None:
    sound = [picture(format_, (200, 200)) for format_, _ in FORMATS]
    bomb = png_claiming(20_000, 20_000)

    def look(n: int) -> str:
        if n % 4 == 3:
            with pytest.raises(BadPictureError, match="pixels"):
                verify(bomb)
            return "bomb"
        thumbnail(sound[n % 4])
        return verify(sound[n % 4]).format

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(look, range(64))) == ["JPEG", "PNG", "WEBP", "bomb"] * 16


def test_what_a_decoder_raises_is_told_as_a_bad_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise KeyError("a decoder's surprise")

    data = picture("PNG")
    monkeypatch.setattr(Image, "open", fail)
    with pytest.raises(BadPictureError, match="damaged"):
        inspect(data)
