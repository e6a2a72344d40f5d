"""Pictures in the form that a provider takes: exact in shape, upright, plain, and untouched where that is possible."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from providers import operation
from providers.spec import Fit, Need, Via
from tests.words import names
from workers.images.fit import fitted, shape_problem
from workers.images.headers import inspect
from workers.images.segments import BadPictureError
from workers.images.verify import verify

pytestmark = pytest.mark.heavy

PORTRAIT = operation("hidream.variation").needs["image"]
ANY = Need(Via.URL)
RED, BLUE = (200, 30, 30), (30, 30, 200)


def encoded(image: Image.Image, form: str = "JPEG", **more: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def striped(width: int, height: int) -> Image.Image:
    """Red on the left or upper half, blue on the other: of the longer side."""
    image = Image.new("RGB", (width, height), RED)
    image.paste(BLUE, (width // 2, 0, width, height) if width > height else (0, height // 2, width, height))
    return image


def fit(data: bytes, need: Need = PORTRAIT, how: Fit = Fit.REJECT) -> bytes:
    made = fitted(data, inspect(data), need, how)
    verify(made)
    return made


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def near(pixel: Any, color: tuple[int, int, int], by: int = 12) -> bool:
    return all(abs(a - b) <= by for a, b in zip(pixel, color, strict=True))


@pytest.mark.parametrize("how", list(Fit))
@pytest.mark.parametrize("size", [(3, 4), (768, 1024), (1536, 2048)])
def test_what_fits_is_handed_on_byte_by_byte(size: tuple[int, int], how: Fit) -> None:
    data = encoded(striped(*size))
    assert fitted(data, inspect(data), PORTRAIT, how) is data


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_a_provider_without_wishes_gets_the_file_as_it_is(form: str) -> None:
    data = encoded(striped(500, 800), form)
    assert fitted(data, inspect(data), ANY, Fit.CROP) is data


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ((500, 800), names("500 x 800", "3:4", "fit")),
        ((1539, 2052), names("1539 x 2052", "2048")),
    ],
)
def test_a_wrong_shape_is_refused_with_its_size_and_what_to_do(size: tuple[int, int], message: str) -> None:
    with pytest.raises(BadPictureError, match=message):
        fit(encoded(striped(*size)))


def test_a_crop_keeps_the_middle_and_more_of_the_top() -> None:
    wide = opened(fit(encoded(striped(900, 400)), how=Fit.CROP))
    assert wide.size == (300, 400)
    assert near(wide.getpixel((20, 200)), RED)
    assert near(wide.getpixel((280, 200)), BLUE)
    tall = opened(fit(encoded(striped(300, 800)), how=Fit.CROP))
    assert tall.size == (300, 400)
    # 100 of the 400 superfluous rows go at the top, so 300 red rows and 100 blue ones are left.
    assert near(tall.getpixel((150, 290)), RED)
    assert near(tall.getpixel((150, 310)), BLUE)


def test_a_crop_without_shrinking_resamples_nothing() -> None:
    noise = Image.effect_noise((400, 401), 90).convert("RGB")
    need = Need(Via.BYTES, ratio=(3, 4))
    made = opened(fit(encoded(noise, "PNG"), need, Fit.CROP))
    assert made.size == (300, 400)
    assert made.tobytes() == noise.crop((50, 0, 350, 400)).tobytes()


def test_a_padding_keeps_every_pixel_in_the_middle() -> None:
    noise = Image.effect_noise((400, 400), 90).convert("RGB")
    need = Need(Via.BYTES, ratio=(3, 4))
    made = opened(fit(encoded(noise, "PNG"), need, Fit.PAD))
    assert made.size == (402, 536)
    assert made.crop((1, 68, 401, 468)).tobytes() == noise.tobytes()


def test_what_pads_is_the_picture_out_of_focus() -> None:
    made = opened(fit(encoded(striped(800, 400)), how=Fit.PAD))
    assert near(made.getpixel((100, 20)), RED, 40)
    assert near(made.getpixel((700, made.height - 20)), BLUE, 40)


@settings(max_examples=60)
@given(
    st.integers(1, 3_000),
    st.integers(1, 3_000),
    st.sampled_from([Fit.CROP, Fit.PAD]),
    st.sampled_from([(3, 4), (16, 9)]),
)
def test_any_picture_is_brought_into_shape_or_refused(
    width: int, height: int, how: Fit, ratio: tuple[int, int]
) -> None:
    need = Need(Via.BYTES, ratio=ratio, max_side=512)
    data = encoded(Image.new("L", (width, height), 90))
    if how is Fit.CROP and not min(width // ratio[0], height // ratio[1]):
        with pytest.raises(BadPictureError, match=names("cut")):
            fitted(data, inspect(data), need, how)
        return
    made = inspect(fitted(data, inspect(data), need, how))
    assert shape_problem(made.width, made.height, need) is None
    if how is Fit.CROP:
        assert made.width <= width
        assert made.height <= height


@pytest.mark.parametrize("how", [Fit.CROP, Fit.PAD])
def test_without_a_ratio_a_picture_is_only_made_smaller(how: Fit) -> None:
    made = inspect(fit(encoded(striped(1_000, 300)), Need(Via.BYTES, max_side=500), how))
    assert (made.width, made.height) == (500, 150)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_picture_is_turned_upright_before_it_is_measured(orientation: int) -> None:
    upright = striped(300, 400)
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]  # fmt: skip
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright.transpose(turn)
    made = opened(fit(encoded(stored, exif=exif)))
    assert made.size == (300, 400)
    assert made.getexif().get(0x0112, 1) == 1
    assert near(made.getpixel((150, 20)), RED)
    assert near(made.getpixel((150, 380)), BLUE)


def test_transparency_becomes_white_where_it_cannot_stay() -> None:
    clear = Image.new("RGBA", (300, 400), (255, 0, 0, 0))
    clear.paste((*RED, 255), (0, 0, 300, 200))
    made = opened(fit(encoded(clear, "PNG")))
    assert (made.format, made.mode) == ("JPEG", "RGB")
    assert near(made.getpixel((150, 100)), RED)
    assert near(made.getpixel((150, 350)), (255, 255, 255))


def test_transparency_stays_where_it_may() -> None:
    clear = Image.new("RGBA", (30, 40), (*RED, 128))
    made = opened(fit(encoded(clear, "WEBP", lossless=True), Need(Via.URL, media_types=("image/png",))))
    assert (made.format, made.mode) == ("PNG", "RGBA")
    assert made.getpixel((5, 5)) == (*RED, 128)


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(Image.new("I;16", (30, 40), 40_000), id="16-bit grey"),
        pytest.param(Image.new("P", (30, 40)), id="palette"),
        pytest.param(Image.new("1", (30, 40), 1), id="black and white"),
        pytest.param(Image.new("LA", (30, 40), (90, 90)), id="grey with transparency"),
    ],
)
def test_every_kind_of_picture_becomes_a_plain_one(image: Image.Image) -> None:
    made = opened(fit(encoded(image, "PNG")))
    assert (made.format, made.mode, made.size) == ("JPEG", "RGB", (30, 40))


def test_sixteen_bits_are_scaled_and_not_cut() -> None:
    made = opened(fit(encoded(Image.new("I;16", (30, 40), 257 * 100), "PNG")))
    assert near(made.getpixel((5, 5)), (100, 100, 100))


def test_printing_inks_become_colours() -> None:
    made = opened(fit(encoded(Image.new("CMYK", (30, 40), (0, 255, 255, 0)))))
    assert made.mode == "RGB"
    assert near(made.getpixel((5, 5)), (255, 0, 0))


def test_a_broken_profile_of_inks_is_no_obstacle() -> None:
    data = encoded(Image.new("CMYK", (30, 40), (0, 255, 255, 0)), icc_profile=b"\0" * 128)
    made = opened(fit(data))
    assert near(made.getpixel((5, 5)), (255, 0, 0))
    assert "icc_profile" not in made.info


def test_a_profile_of_colours_goes_along_and_the_place_of_the_photo_does_not() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 1, "a camera"
    made = opened(fit(encoded(striped(400, 400), icc_profile=profile, exif=exif), how=Fit.PAD))
    assert made.info["icc_profile"] == profile
    assert not made.getexif()


def test_what_cannot_be_decoded_is_refused() -> None:
    data = encoded(striped(300, 500))
    with pytest.raises(BadPictureError, match="truncated"):
        fitted(data[: len(data) // 2], inspect(data), PORTRAIT, Fit.CROP)
