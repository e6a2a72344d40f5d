"""Pictures for `make checks`: results as the sandbox paints them, and the same with one planted fault each.

Three portraits are not much, so each picture is drawn from them by chance: another crop, side, light, colour, noise,
proportion and compression. Number `n` of a seed is always the same picture.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import count
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import faces
from faces import Face, Picture
from faces.comparing import seen
from faces.pictures import as_picture
from faces.swapping import transfer
from workers.config.extras import LIKENESS, missing

PORTRAITS = Path(__file__).parents[2] / "examples" / "portraits"
PEOPLE = ("astronaut.png", "grace_hopper.jpg")
TOGETHER = "together.jpg"
LONGER = 1024  # pixels of every picture's longer side
NOISE_SIDE = 251  # pixels: a prime, so that no block of a JPEG meets the same noise again
SHARED = 3  # jobs in a row that have the same target, and other sources
FURTHER = 1_000_000  # more than there are numbers, to another picture where one does not suit
Chance = np.random.Generator


@dataclass(frozen=True, slots=True)
class Case:
    """What a job was given, what came back, and the name of the check that has to find it; None where all is well."""

    number: int
    operation: str
    target: bytes | None
    result: bytes
    fault: str | None = None
    #: The picture of whom it should show.
    person: bytes | None = None


@cache
def _portrait(name: str) -> Picture:
    return faces.decode((PORTRAITS / name).read_bytes())


@cache
def _face(name: str) -> Face:
    return max(faces.detect(_portrait(name)), key=lambda face: face.area)


def _crop(chance: Chance, name: str) -> Picture:
    """A part of a portrait with all of the head in it, in another shape than the whole."""
    picture = _portrait(name)
    if name == TOGETHER:
        return picture
    height, width = picture.shape[:2]
    left, top, right, bottom = faces.head_box(_face(name), 1.7)
    left, top, right, bottom = max(0, left), max(0, top), min(right, width), min(bottom, height)
    x, y = int(chance.integers(0, left + 1)), int(chance.integers(0, top + 1))
    return picture[y : int(chance.integers(bottom, height + 1)), x : int(chance.integers(right, width + 1))]


def _varied(chance: Chance, name: str) -> Picture:
    """A portrait as another camera might have taken it, of somebody a little broader or slimmer."""
    picture = _crop(chance, name)
    if chance.random() < 0.5:
        picture = picture[:, ::-1]
    height, width = picture.shape[:2]
    width = round(width * chance.uniform(0.92, 1.08))
    scale = LONGER / max(height, width)
    picture = faces.resize(np.ascontiguousarray(picture), round(width * scale), round(height * scale))
    light = (np.arange(256) / 255) ** chance.uniform(0.75, 1.35) * 255
    curves = np.clip(light[:, None] * chance.uniform(0.85, 1.1, 3), 0, 255).astype(np.uint8)
    lit = cv2.LUT(picture, np.ascontiguousarray(curves[None]))
    return _compressed(chance, _noisy(chance, as_picture(lit), chance.uniform(0, 5)))


def _noisy(chance: Chance, picture: Picture, spread: float) -> Picture:
    """A picture with noise, of which one piece is laid side by side: to draw it for each pixel takes too long."""
    piece = chance.normal(0, spread, (NOISE_SIDE, NOISE_SIDE, 3))
    height, width = picture.shape[:2]
    noise = np.tile(np.rint(piece).astype(np.int16), (height // NOISE_SIDE + 1, width // NOISE_SIDE + 1, 1))
    return as_picture(cv2.add(picture.astype(np.int16), noise[:height, :width]))


def _compressed(chance: Chance, picture: Picture) -> Picture:
    return faces.decode(faces.encode(picture, "jpeg", int(chance.integers(75, 97))))


def _file(chance: Chance, picture: Picture) -> bytes:
    """What a provider hands out: mostly JPEG, and PNG."""
    return faces.encode(picture, "png" if chance.random() < 0.25 else "jpeg", int(chance.integers(80, 97)))


def _faces(picture: Picture, name: str) -> list[Face]:
    """All faces, the largest first; one look is enough for a portrait."""
    found = [] if name == TOGETHER else seen(picture)
    return sorted(found or faces.detect(picture), key=lambda face: -face.area)


@dataclass(frozen=True, slots=True)
class Swapped:
    """A swap that went well, in pixels, and the faces of its target, the largest first."""

    target: Picture
    source: Picture
    result: Picture
    faces: list[Face]
    source_face: Face


@lru_cache(maxsize=8)
def _target(seed: int, group: int) -> tuple[Picture, list[Face]]:
    chance = np.random.default_rng([seed, group, 1])
    name = TOGETHER if chance.random() < 0.25 else PEOPLE[group % 2]
    picture = _varied(chance, name)
    return picture, _faces(picture, name)


def swapped(seed: int, number: int, *, together: bool = False) -> Swapped:
    """Number `number` of the swaps that went well."""
    chance = np.random.default_rng([seed, number, 2])
    group = number // SHARED
    if together:
        target = _varied(chance, TOGETHER)
        found = _faces(target, TOGETHER)
    else:
        target, found = _target(seed, group)
    # Of the two together, the officer is the larger.
    name = PEOPLE[0] if together or len(found) > 1 else PEOPLE[1 - group % 2]
    source = _varied(chance, name)
    face = _faces(source, name)[0]
    # As `faces.swap` does it, with the faces that are known already.
    result = transfer(source, face, target, found[0], head=bool(chance.random() < 0.15))
    return Swapped(target, source, result, found, face)


def good(seed: int, number: int) -> Case:
    """A result that nobody would complain of: mostly a swap, also a generated portrait."""
    chance = np.random.default_rng([seed, number, 3])
    if number % 5 == 4:
        width, height = [(1024, 1024), (768, 1024), (1024, 768)][int(chance.integers(3))]
        prompt = str(chance.choice(["an astronaut", "an officer", "a studio portrait", "on a rocket"]))
        reference = _varied(chance, PEOPLE[number % 2])
        made = faces.portrait(reference, prompt=prompt, width=width, height=height, seed=number)
        return Case(number, "generate", None, _file(chance, made), person=faces.encode(reference, "jpeg", 92))
    pair = swapped(seed, number)
    result, target = _file(chance, pair.result), faces.encode(pair.target, "jpeg", 92)
    return Case(number, "swap", target, result, person=faces.encode(pair.source, "jpeg", 92))


# --- Faults ---------------------------------------------------------------------------------------------------------


def _box(picture: Picture, face: Face, scale: float) -> tuple[slice, slice]:
    left, top, right, bottom = faces.head_box(face, scale)
    return slice(top, min(bottom, picture.shape[0])), slice(left, min(right, picture.shape[1]))


def _without(chance: Chance, picture: Picture, face: Face) -> Picture:
    """The picture with a head smeared, cut into coarse squares, or under a plain patch."""
    made, place = picture.copy(), _box(picture, face, 1.5)
    part = made[place]
    way = int(chance.integers(3))
    if way == 0:
        made[place] = cv2.GaussianBlur(part, (0, 0), face.width / 3)
    elif way == 1:
        made[place] = cv2.resize(faces.resize(part, 5, 5), part.shape[1::-1], interpolation=cv2.INTER_NEAREST)
    else:
        made[place] = part.mean(axis=(0, 1)).astype(np.uint8)
    return made


def _no_face(chance: Chance, made: Swapped) -> Picture:
    picture = made.result
    for face in made.faces:
        picture = _without(chance, picture, face)
    return picture


def _fewer_faces(chance: Chance, made: Swapped) -> Picture:
    return _without(chance, made.result, made.faces[int(chance.integers(len(made.faces)))])


def _more_faces(chance: Chance, made: Swapped) -> Picture:
    picture = made.result.copy()
    height, width = picture.shape[:2]
    head = made.source[_box(made.source, made.source_face, 1.6)]
    side = int(chance.uniform(0.22, 0.34) * min(height, width))
    head = faces.resize(head, max(8, side * head.shape[1] // head.shape[0]), side)
    own = made.faces[0]
    # The corner that is farthest from the largest face, and a little beside it.
    x = 0 if own.middle[0] > width / 2 else width - head.shape[1]
    y = 0 if own.middle[1] > height / 2 else height - head.shape[0]
    x, y = (abs(start - int(chance.integers(0, 12))) for start in (x, y))
    picture[y : y + head.shape[0], x : x + head.shape[1]] = head[: height - y, : width - x]
    return picture


def _face_unchanged(chance: Chance, made: Swapped) -> Picture:
    return _noisy(chance, as_picture(made.target * np.float32(chance.uniform(0.96, 1.04))), 2)


def _beside(made: Swapped) -> NDArray[np.bool_]:
    """Which pixels lie beside all heads."""
    free = np.ones(made.result.shape[:2], bool)
    for face in made.faces:
        free[_box(made.result, face, 2.2)] = False
    return free


def _with_a_place_beside(seed: int, number: int) -> Swapped:
    """The first result from this number on whose heads do not fill it."""
    further = (swapped(seed, number + more * FURTHER) for more in count())
    return next(made for made in further if _beside(made).any())


def _changed_outside(chance: Chance, made: Swapped) -> Picture:
    picture, free = made.result.copy(), _beside(made)
    way = int(chance.integers(3))
    if way == 0:  # other colours, as of another garment
        other = np.roll(picture, 1, axis=2)
    elif way == 1:  # another scene
        other = faces.resize(made.source[::-1], picture.shape[1], picture.shape[0])
    else:  # a lamp, a logo, a hand
        other, place = picture.copy(), np.argwhere(free)
        y, x = place[int(chance.integers(len(place)))].tolist()
        colour = tuple(int(value) for value in 255 - picture[y, x].astype(int))
        cv2.circle(other, (x, y), int(chance.uniform(0.07, 0.14) * LONGER), colour, cv2.FILLED)
    picture[free] = other[free]
    return picture


def _blank(chance: Chance, made: Swapped) -> Picture:
    height, width = made.result.shape[:2]
    tone = chance.choice([0, 127, 255]) if chance.random() < 0.6 else chance.uniform(0, 255, 3)
    return _noisy(chance, as_picture(np.full((height, width, 3), tone, np.float32)), chance.uniform(0, 4))


def _blurred(chance: Chance, made: Swapped) -> Picture:
    if chance.random() < 0.5:
        return as_picture(cv2.GaussianBlur(made.result, (0, 0), chance.uniform(2.5, 6)))
    height, width = made.result.shape[:2]
    by = chance.uniform(4, 8)
    return faces.resize(faces.resize(made.result, round(width / by), round(height / by)), width, height)


def _other_size(chance: Chance, made: Swapped) -> Picture:
    height, width = made.result.shape[:2]
    way = int(chance.integers(3))
    if way == 0:
        return made.result[int(height * chance.uniform(0.05, 0.2)) :]
    if way == 1:
        by = chance.uniform(0.4, 0.8)
        return faces.resize(made.result, round(width * by), round(height * by))
    return faces.resize(made.result, round(width * chance.uniform(1.08, 1.3)), height)


FAULTS: Mapping[str, Callable[[Chance, Swapped], Picture]] = {
    "no_face": _no_face,
    "fewer_faces": _fewer_faces,
    "more_faces": _more_faces,
    "face_unchanged": _face_unchanged,
    "changed_outside": _changed_outside,
    "blank": _blank,
    "blurred": _blurred,
    "other_size": _other_size,
}
#: People are told apart where the extra for it is installed.
TELLS_PEOPLE_APART = not missing(LIKENESS)
KINDS = (*FAULTS, "near_duplicate", *(["other_person"] if TELLS_PEOPLE_APART else []))


def faulty(seed: int, number: int) -> Case:
    """A result with one fault, of each kind in turn; numbers of good ones and of these do not meet."""
    kind = KINDS[number % len(KINDS)]
    chance = np.random.default_rng([seed, number, 4])
    made = (
        _with_a_place_beside(seed, number) if kind == "changed_outside"
        else swapped(seed, number, together=kind == "fewer_faces")
    )  # fmt: skip
    target = faces.encode(made.target, "jpeg", 92)
    if kind == "near_duplicate":
        return Case(number, "swap", target, _again(chance, seed, number), kind)
    if kind == "other_person":
        return Case(number, "swap", target, _file(chance, made.result), kind, _somebody_else(chance, made, number))
    return Case(number, "swap", target, _file(chance, FAULTS[kind](chance, made)), kind)


def _somebody_else(chance: Chance, made: Swapped, number: int) -> bytes:
    """The picture of another person than the one who was swapped in, as if the provider had mixed up two orders."""
    shown = PEOPLE[0] if len(made.faces) > 1 else PEOPLE[1 - number // SHARED % 2]
    (other,) = set(PEOPLE) - {shown}
    return faces.encode(_varied(chance, other), "jpeg", 92)


def copied(number: int) -> int:
    """Of which good swap a near-duplicate of this number is the copy: one of a target that shows somebody else."""
    group = number % 23
    group += (group + number // SHARED + 1) % 2
    return group * SHARED + (group * SHARED % 5 == 4)


def _again(chance: Chance, seed: int, number: int) -> bytes:
    """Another job's result, as a provider's cache might hand it out again: compressed, a little brighter, scaled."""
    result = swapped(seed, copied(number)).result
    height, width = result.shape[:2]
    by = chance.uniform(0.9, 1.0)
    values = faces.resize(result, round(width * by), round(height * by)) * chance.uniform(0.96, 1.04)
    return faces.encode(np.clip(values, 0, 255).astype(np.uint8), "jpeg", int(chance.integers(70, 97)))
