"""Bytes to pixels and back, cutouts and colours."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

import faces
from tests.words import names, unsaid

pytestmark = pytest.mark.heavy


def test_decoding_agrees_with_pillow(hopper: faces.Picture) -> None:
    data = faces.encode(hopper, "png")
    assert np.array_equal(faces.decode(data), hopper)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(data))), hopper)


@pytest.mark.parametrize(("form", "name"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_a_file_has_the_format_and_nearly_the_pixels(
    collins: faces.Picture, form: Literal["jpeg", "png", "webp"], name: str
) -> None:
    data = faces.encode(collins, form)
    assert Image.open(io.BytesIO(data)).format == name
    error = float(np.mean((faces.decode(data).astype(float) - collins) ** 2))
    assert error < 255**2 / 10**3.5  # PSNR of 35 dB


def test_quality_costs_bytes(collins: faces.Picture) -> None:
    assert len(faces.encode(collins, "jpeg", 40)) < len(faces.encode(collins, "jpeg", 95)) / 2


def test_a_picture_is_turned_upright(collins: faces.Picture) -> None:
    file, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6  # orientation: to be turned clockwise by a quarter
    Image.fromarray(collins[:, :400]).save(file, "PNG", exif=exif)
    assert np.array_equal(faces.decode(file.getvalue()), np.rot90(collins[:, :400], -1))


@pytest.mark.parametrize("data", [b"", b"not a picture", b"\x89PNG\r\n\x1a\n"])
def test_rubbish_is_not_a_picture(data: bytes) -> None:
    with pytest.raises(faces.NotAPictureError, match=f"{len(data)} bytes"):
        faces.decode(data)


def test_a_cutout_keeps_the_person_and_drops_the_wall(hopper: faces.Picture) -> None:
    cut = faces.cutout(hopper)
    assert cut.shape == (600, 512, 4)
    assert np.array_equal(cut[:, :, :3], hopper)
    alpha = cut[:, :, 3]
    assert alpha[150:310, 210:320].min() > 250  # face
    assert alpha[500:, 200:330].min() > 250  # uniform
    assert alpha[:250, 420:].max() < 5  # wall
    assert alpha[:200, :60].max() < 5  # flag


def test_a_cutout_needs_a_face(faceless: faces.Picture) -> None:
    with pytest.raises(faces.NoFaceError):
        faces.cutout(faceless)


def test_a_cutout_survives_png_and_is_refused_by_jpeg(hopper: faces.Picture) -> None:
    cut = faces.cutout(hopper)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(faces.encode(cut, "png")))), cut)
    with pytest.raises(ValueError, match=names("JPEG", "transparent")):
        faces.encode(cut, "jpeg")


@pytest.mark.parametrize("colour", ["#0af", "0af", "#00AAFF", "00aaff"])
def test_flattening_shows_the_colour_through(colour: str) -> None:
    cut = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [200, 0, 55, 128]]], np.uint8)
    assert faces.flatten(cut, colour).tolist() == [[[10, 20, 30], [0, 170, 255], [100, 85, 155]]]


@pytest.mark.parametrize("colour", ["", "#", "#12", "#1234", "red", "#12345g", "12 34 56", "#1234567"])
def test_what_is_no_colour_is_refused(colour: str) -> None:
    with pytest.raises(ValueError, match=names("colour")):
        faces.flatten(np.zeros((1, 1, 4), np.uint8), colour)


def test_without_the_extra_the_import_says_what_to_install() -> None:
    root = Path(__file__).parents[3]
    program = "import sys; sys.modules['cv2'] = None; import faces"
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode != 0
    assert unsaid(run.stderr, "pip install", "recast-server[faces]") == []
