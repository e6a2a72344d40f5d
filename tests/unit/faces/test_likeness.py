"""Telling people apart, by the real model: it runs where the extra `likeness` is installed."""

from __future__ import annotations

import numpy as np
import pytest

import faces
from faces import Picture, likeness
from tests.stack import PORTRAITS
from workers.config.extras import LIKENESS, missing

pytestmark = [
    pytest.mark.heavy,
    pytest.mark.skipif(bool(missing(LIKENESS)), reason="needs the extra `likeness`: pip install '.[likeness]'"),
]


@pytest.fixture(scope="module")
def people() -> tuple[Picture, Picture]:
    astronaut, officer = (
        faces.decode((PORTRAITS / name).read_bytes()) for name in ("astronaut.png", "grace_hopper.jpg")
    )
    return astronaut, officer


def test_one_person_is_like_herself_also_in_a_mirror_and_in_a_swap(people: tuple[Picture, Picture]) -> None:
    astronaut, officer = people
    mirrored = np.ascontiguousarray(astronaut[:, ::-1])
    swapped = faces.swap(astronaut, officer)
    for made in (astronaut, mirrored, swapped):
        distance = likeness.distance(astronaut, made)
        assert distance is not None
        assert distance < 0.75 * likeness.DIFFERENT


def test_two_people_differ(people: tuple[Picture, Picture]) -> None:
    distance = likeness.distance(*people)
    assert distance is not None
    assert distance > likeness.DIFFERENT


def test_of_several_faces_the_most_like_one_counts(people: tuple[Picture, Picture]) -> None:
    together = faces.decode((PORTRAITS / "together.jpg").read_bytes())
    for person in people:
        distance = likeness.distance(person, together)
        assert distance is not None
        assert distance < likeness.DIFFERENT


def test_without_a_face_nothing_is_said(people: tuple[Picture, Picture]) -> None:
    empty = np.full((300, 300, 3), 127, np.uint8)
    assert likeness.distance(people[0], empty) is None
    assert likeness.distance(empty, people[0]) is None
