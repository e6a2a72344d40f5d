"""Faces are found where they are, in reading order, at the sizes and angles catalogs have."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import faces
from faces import meshing
from faces.finding import pick
from tests.words import names

pytestmark = pytest.mark.heavy

# Where a person sees them, in pixels of the originals.
COLLINS_EYES = np.array([[204, 100], [248, 102]])
HOPPER_EYES = np.array([[224, 187], [308, 186]])
EYE_TOLERANCE = 0.05  # of the face's width; spectacles mislead the network a little


def test_the_mesh_lies_on_the_eyes(collins: faces.Picture, hopper: faces.Picture) -> None:
    for picture, eyes in ((collins, COLLINS_EYES), (hopper, HOPPER_EYES)):
        (face,) = faces.detect(picture)
        assert face.landmarks.shape == (468, 2)
        assert np.abs(meshing.eye_centres(face.mesh) - eyes).max() < EYE_TOLERANCE * face.width


def test_two_people_are_found_from_left_to_right(both: faces.Picture) -> None:
    left, right = faces.detect(both)
    assert left.middle[0] < 512 < right.middle[0]
    mirrored = faces.detect(np.ascontiguousarray(both[:, ::-1]))
    assert [face.area > 20_000 for face in (left, right)] == [False, True]
    assert [face.area > 20_000 for face in mirrored] == [True, False]


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_size_does_not_matter(both: faces.Picture, scale: float) -> None:
    height, width = both.shape[:2]
    found = faces.detect(faces.resize(both, round(width * scale), round(height * scale)))
    expected = [face.box for face in faces.detect(both)]
    assert np.allclose([np.array(face.box) / scale for face in found], expected, atol=5)


def test_small_faces_of_a_group_are_found(collins: faces.Picture) -> None:
    # Given nine people in rows, each face a twentieth of the picture's width
    group = np.tile(collins, (3, 3, 1))
    # When and then: all nine, none twice
    assert len(faces.detect(group)) == 9


@pytest.mark.parametrize("angle", [-30, 30])
def test_a_tilted_head_is_found_and_its_mesh_tilts(hopper: faces.Picture, angle: int) -> None:
    turn = cv2.getRotationMatrix2D((256, 240), angle, 1)
    tilted = cv2.warpAffine(hopper, turn, (512, 600)).astype(np.uint8)
    (face,) = faces.detect(tilted)
    eyes = HOPPER_EYES @ turn[:, :2].T + turn[:, 2]
    assert np.abs(meshing.eye_centres(face.mesh) - eyes).max() < EYE_TOLERANCE * face.width


def test_what_is_no_face_is_not_found(faceless: faces.Picture) -> None:
    assert faces.detect(faceless) == []
    noise = np.random.default_rng(0).integers(0, 255, (300, 400, 3), np.uint8)
    assert faces.detect(noise) == []
    assert faces.detect(np.zeros((1, 1, 3), np.uint8)) == []


def test_picking_names_the_picture_and_the_number(both: faces.Picture, faceless: faces.Picture) -> None:
    assert pick(both, 0, "target").middle[0] < pick(both, 1, "target").middle[0]
    assert pick(both, None, "target").middle[0] > 512  # the larger one
    with pytest.raises(faces.NoFaceError, match=names("2", "target")):
        pick(both, 2, "target")
    with pytest.raises(faces.NoFaceError, match=names("-1")):
        pick(both, -1, "target")
    with pytest.raises(faces.NoFaceError, match=names("source")):
        pick(faceless, None, "source")


def test_the_head_box_holds_hair_and_never_starts_before_the_picture(
    collins: faces.Picture, hopper: faces.Picture
) -> None:
    left, top, right, bottom = faces.head_box(faces.detect(collins)[0])
    assert left < 153
    assert top == 0
    assert right > 301
    assert bottom > 180
    (face,) = faces.detect(hopper)
    inner, outer = faces.head_box(face, 1.2), faces.head_box(face, 2.0)
    assert outer[0] < inner[0] < inner[2] < outer[2]
    assert outer[1] < inner[1] < inner[3] < outer[3]


def test_a_moved_face_keeps_its_shape(hopper: faces.Picture) -> None:
    (face,) = faces.detect(hopper)
    moved = face.moved(-10, 20)
    assert moved.middle == pytest.approx((face.middle[0] - 10, face.middle[1] + 20))
    assert np.allclose(moved.landmarks - face.landmarks, [-10, 20], atol=1e-3)
    assert moved.area == face.area
