"""A swap shows the other person, touches nothing else, and leaves no trace of its making."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

import faces
from faces.pictures import Points, Weights
from faces.warping import similarity, triangles
from tests.words import names

pytestmark = pytest.mark.heavy

#: Points of the mesh (MediaPipe's numbering).
INNER_LIPS = (78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308, 324, 318, 402, 317, 14, 87, 178, 88, 95)
CHANGED = 8.0  # grey levels by which a swapped face differs on average; a self-swap stays under 1


def difference(one: faces.Picture, other: faces.Picture) -> Weights:
    """Return the absolute difference per pixel, averaged over the channels."""
    return np.asarray(np.abs(one.astype(np.float32) - other).mean(axis=2), np.float32)


def outside(picture: faces.Picture, face: faces.Face) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    left, top, right, bottom = faces.head_box(face)
    mask = np.ones(picture.shape[:2], bool)
    mask[top:bottom, left:right] = False
    return mask


def inner_shape(picture: faces.Picture) -> Points:
    """Return eyes, brows, nose and mouth of the largest face, freed of place, size and turn."""
    face = max(faces.detect(picture), key=lambda face: face.area)
    features = [33, 133, 362, 263, 70, 105, 107, 336, 334, 300, 1, 98, 327, *INNER_LIPS, 61, 291, 0, 17]
    points = face.landmarks[features]
    points = points - points.mean(axis=0)
    return np.asarray(points / np.sqrt((points**2).sum()), np.float32)


def unlikeness(one: Points, other: Points) -> float:
    matrix, offset = similarity(one, other)
    return float(np.sqrt(((one @ matrix.T + offset - other) ** 2).sum()))


@dataclass(frozen=True)
class Swap:
    """Two pictures and what became of them; made once for all tests that look at it."""

    source: faces.Picture
    target: faces.Picture
    face: faces.Picture
    head: faces.Picture

    def result(self, *, head: bool) -> faces.Picture:
        return self.head if head else self.face


@pytest.fixture(scope="module", params=["collins onto hopper", "hopper onto collins"])
def swap(request: pytest.FixtureRequest, collins: faces.Picture, hopper: faces.Picture) -> Swap:
    source, target = (collins, hopper) if request.param == "collins onto hopper" else (hopper, collins)
    return Swap(source, target, faces.swap(source, target), faces.swap(source, target, head=True))


@pytest.mark.parametrize("head", [False, True])
def test_the_face_changes_and_nothing_outside_the_head(swap: Swap, *, head: bool) -> None:
    target, swapped = swap.target, swap.result(head=head)
    (face,) = faces.detect(target)

    assert swapped.shape == target.shape
    beyond = outside(target, face)
    assert beyond.mean() > 0.4
    assert np.array_equal(swapped[beyond], target[beyond])
    x, y = (int(value) for value in face.landmarks[1])
    reach = int(face.width / 4)
    centre = np.s_[y - reach : y + reach, x - reach : x + reach]
    assert difference(swapped[centre], target[centre]).mean() > CHANGED


@pytest.mark.parametrize("head", [False, True])
def test_the_features_are_the_sources(swap: Swap, *, head: bool) -> None:
    swapped = inner_shape(swap.result(head=head))
    assert unlikeness(swapped, inner_shape(swap.source)) < unlikeness(swapped, inner_shape(swap.target)) / 1.5


def test_the_skin_takes_the_targets_tone(swap: Swap) -> None:
    tones = []
    for picture in (swap.source, swap.target, swap.face):
        (face,) = faces.detect(picture)
        mask = np.zeros(picture.shape[:2], np.uint8)
        cv2.fillConvexPoly(mask, np.rint(cv2.convexHull(face.landmarks.copy())).astype(np.int32), 1)
        lab = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        tones.append(lab[mask > 0].mean(axis=0))
    of_source, of_target, of_swapped = tones
    assert np.linalg.norm(of_swapped - of_target) < np.linalg.norm(of_source - of_target) / 2


def test_there_is_no_seam(swap: Swap) -> None:
    # Given the outline of the target's face, which the swap may reach but not cross visibly
    target, swapped = swap.target, swap.face
    (face,) = faces.detect(target)
    # When one walks over it, then what changed has faded out: on the outline next to nothing differs
    outline = np.zeros(target.shape[:2], np.uint8)
    cv2.polylines(outline, [np.rint(cv2.convexHull(face.landmarks.copy())).astype(np.int32)], isClosed=True, color=1)
    assert difference(swapped, target)[outline > 0].mean() < 1.0


def test_swapping_a_face_with_itself_changes_nothing(hopper: faces.Picture) -> None:
    assert difference(faces.swap(hopper, hopper), hopper).max() <= 1.0


def test_the_index_says_whose_face_is_replaced(both: faces.Picture, hopper: faces.Picture) -> None:
    left, right = faces.detect(both)
    onto_left = faces.swap(hopper, both, target_face=0)
    assert np.array_equal(onto_left[:, 512:], both[:, 512:])
    assert not np.array_equal(onto_left[:, :512], both[:, :512])

    onto_largest = faces.swap(both, both, source_face=0)  # Collins, the smaller, onto Hopper
    assert np.array_equal(onto_largest[outside(both, right)], both[outside(both, right)])
    assert not np.array_equal(onto_largest, both)

    with pytest.raises(faces.NoFaceError, match=names("2", "target")):
        faces.swap(hopper, both, target_face=2)
    assert left.area < right.area


def test_a_missing_face_is_reported_with_its_picture(collins: faces.Picture, faceless: faces.Picture) -> None:
    with pytest.raises(faces.NoFaceError, match=names("source")):
        faces.swap(faceless, collins)
    with pytest.raises(faces.NoFaceError, match=names("target")):
        faces.swap(collins, faceless)


@pytest.mark.parametrize("head", [False, True])
def test_a_head_at_the_edge_of_its_picture(collins: faces.Picture, hopper: faces.Picture, *, head: bool) -> None:
    cropped = collins[65:, 160:]  # no hair above, hardly any at the side
    assert faces.swap(hopper, cropped, head=head).shape == cropped.shape
    assert faces.swap(cropped, hopper, head=head).shape == hopper.shape


def test_a_head_swap_takes_the_hair_along(collins: faces.Picture, hopper: faces.Picture) -> None:
    (face,) = faces.detect(hopper)
    brim = np.s_[int(face.y) - 25 : int(face.y) - 5, 190:330]  # black felt above the forehead
    assert hopper[brim].mean() < 40
    assert difference(faces.swap(collins, hopper), hopper)[brim].max() == 0
    assert faces.swap(collins, hopper, head=True)[brim].mean() > 60  # fair hair


def test_threads_do_not_disturb_each_other(both: faces.Picture, hopper: faces.Picture) -> None:
    small = faces.resize(both, both.shape[1] // 2, both.shape[0] // 2)
    expected = [faces.swap(hopper, small, target_face=index, head=True) for index in (0, 1)]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(lambda turn: faces.swap(hopper, small, target_face=turn % 2, head=True), range(8)))
    assert all(np.array_equal(result, expected[turn % 2]) for turn, result in enumerate(results))


def test_the_triangles_cover_the_face_once() -> None:
    corners = triangles()
    assert corners.shape[1] == 3
    assert len(np.unique(corners)) == 468
    # Euler: a triangulation of n points, h of them on the hull, has 2n - 2 - h triangles; a face's hull has 20 to 40.
    assert 2 * 468 - 2 - 40 <= len(corners) <= 2 * 468 - 2 - 10
