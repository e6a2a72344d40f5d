"""Comparison of pictures: another exposure is not another face, and a soft face is not a soft picture."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import faces
from faces import head_box
from faces.comparing import compare, seen
from faces.pictures import Picture, as_picture
from tests.stack import PORTRAITS

TOLD = 4.0  # levels from which on a face is another one, as the check has it
SOFT = 0.4  # of the sharpness, from which on a picture is as sharp as before


@pytest.fixture(scope="module")
def portrait() -> Picture:
    """A portrait with room beside the head."""
    return faces.decode((PORTRAITS / "astronaut.png").read_bytes())


@pytest.mark.parametrize(
    ("gains", "offset"), [((1.1, 1.1, 1.1), 0), ((0.9, 0.9, 0.9), 0), ((1.06, 1.0, 0.94), 0), ((0.92, 0.92, 0.92), 12)]
)
def test_another_exposure_leaves_the_face_as_it_was(
    portrait: Picture, gains: tuple[float, float, float], offset: float
) -> None:
    compared = compare(portrait, as_picture(portrait * np.array(gains, np.float32) + offset))
    assert compared.face_difference is not None
    assert compared.face_difference < TOLD / 2


def test_another_face_stays_another_one_under_another_exposure(portrait: Picture) -> None:
    source = faces.decode((PORTRAITS / "grace_hopper.jpg").read_bytes())
    swapped = faces.swap(source, portrait)
    compared = compare(portrait, as_picture(swapped * np.float32(1.1)))
    assert compared.face_difference is not None
    assert compared.face_difference > 3 * TOLD


def test_one_shade_has_no_exposure_to_follow(portrait: Picture) -> None:
    flat = as_picture(np.full(portrait.shape, 90.0))
    assert compare(flat, as_picture(flat * np.float32(1.2))).outside_difference == pytest.approx(0, abs=1)


def test_a_picture_that_is_softer_everywhere_has_lost_its_sharpness(portrait: Picture) -> None:
    assert compare(portrait, as_picture(cv2.GaussianBlur(portrait, (0, 0), 2))).sharpness < SOFT


def test_a_head_of_a_softer_photo_leaves_the_picture_sharp(portrait: Picture) -> None:
    (face,) = seen(portrait)
    left, top, right, bottom = head_box(face, 1.5)
    soft = portrait.copy()
    place = np.s_[max(0, top) : bottom, max(0, left) : right]
    soft[place] = cv2.GaussianBlur(portrait, (0, 0), 0.8)[place]
    assert compare(portrait, soft).sharpness > SOFT
