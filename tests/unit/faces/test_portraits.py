"""Portraits have the size asked for, the reference's face, and a look of their own for each seed."""

from __future__ import annotations

import numpy as np
import pytest

import faces
from tests.words import names

pytestmark = pytest.mark.heavy


@pytest.mark.parametrize(
    ("width", "height"), [(512, 512), (256, 1024), (1024, 256), (513, 769), (64, 64), (1, 1), (1536, 1024)]
)
def test_the_size_is_exact(hopper: faces.Picture, width: int, height: int) -> None:
    picture = faces.portrait(hopper, prompt="a person", width=width, height=height, seed=1)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8


@pytest.mark.parametrize("prompt", ["an astronaut", "a navy officer"])
@pytest.mark.parametrize(("width", "height"), [(512, 512), (512, 768), (768, 512), (768, 384)])
def test_one_whole_face_is_in_it(collins: faces.Picture, prompt: str, width: int, height: int) -> None:
    for seed in range(2):
        picture = faces.portrait(collins, prompt=prompt, width=width, height=height, seed=seed)
        (face,) = faces.detect(picture)
        assert face.x > 0
        assert face.y > 0
        assert face.x + face.width < width
        assert face.y + face.height < height


def test_seeds_differ_and_repeat(collins: faces.Picture) -> None:
    pictures = [
        faces.portrait(collins, prompt="a portrait", width=256, height=256, seed=seed) for seed in (0, 1, 2, 3, 0, -1)
    ]
    assert np.array_equal(pictures[0], pictures[4])
    distinct = [pictures[index] for index in (0, 1, 2, 3, 5)]
    for number, one in enumerate(distinct):
        for other in distinct[number + 1 :]:
            assert np.abs(one.astype(int) - other).mean() > 3


def test_the_prompt_chooses_the_stock_portrait(collins: faces.Picture) -> None:
    astronaut, officer = (
        faces.portrait(collins, prompt=prompt, width=256, height=256, seed=0).astype(int)
        for prompt in ("An ASTRONAUT, cinematic", "officer, studio light")
    )
    orange = [(picture[-30:, :, 0] - picture[-30:, :, 2] > 100).mean() for picture in (astronaut, officer)]
    assert orange[0] > 0.2  # the space suit
    assert orange[1] < 0.05  # the ribbons on a navy uniform


def test_the_reference_decides_the_face(collins: faces.Picture, hopper: faces.Picture) -> None:
    of_collins, of_hopper = (
        faces.portrait(reference, prompt="astronaut", width=256, height=256, seed=0).astype(int)
        for reference in (collins, hopper)
    )
    changed = np.abs(of_collins - of_hopper).mean(axis=2)
    (face,) = faces.detect(of_collins.astype(np.uint8))
    x, y = (int(value) for value in face.landmarks[1])
    assert changed[y - 15 : y + 15, x - 15 : x + 15].mean() > 10
    assert changed[:20, :20].max() <= 3  # the background's tint follows a matte that sees the face


def test_impossible_requests_are_refused(collins: faces.Picture, faceless: faces.Picture) -> None:
    with pytest.raises(faces.NoFaceError, match=names("reference")):
        faces.portrait(faceless, prompt="", width=64, height=64, seed=0)
    with pytest.raises(ValueError, match="0 x 64"):
        faces.portrait(collins, prompt="", width=0, height=64, seed=0)
