"""Likeness of two faces, by the face embedding of dlib: how far apart they are.

An embedding is a template of a person. It is computed, compared and dropped within one call, and never leaves it.

Needs the optional extra `likeness`: dlib, and the package that carries its model. The 29-layer network was trained with
0.6 as the distance from which on two faces are different people, and reaches 99.38 % with it on Labeled Faces in the
Wild (http://dlib.net/face_recognition.py.html).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from faces.comparing import WORK_SIDE, seen
from faces.finding import Face, detect
from faces.pictures import Picture, within

ALIKE = 0.45  # the distance up to which a person is found, and no further face is looked at
DIFFERENT = 0.6  # the distance from which on dlib takes two faces for those of different people
MIN_WIDTH = 40  # pixels of a face at `WORK_SIDE`: an embedding of a smaller one says little
MOST_FACES = 4  # of a picture that are compared, the largest first; each takes some 80 ms of CPU
#: Points of the face mesh where dlib's five landmarks lie: the corners of both eyes, and the base of the nose.
_LANDMARKS = (263, 362, 33, 133, 2)
_MODELS = "face_recognition_models"
_MODEL = "dlib_face_recognition_resnet_model_v1.dat"


def distance(person: Picture, made: Picture) -> float | None:
    """Return how far the face of `made` that is most like the largest face of `person` is from it.

    0 is the same picture of a face; from `DIFFERENT` on, it is another person's. None where one of the two shows no
    face that is large enough to tell.
    """
    known, shown = within(person, WORK_SIDE), within(made, WORK_SIDE)
    wanted = _large(seen(known)) or _large(detect(known))
    if not wanted:
        return None
    template = _embedding(known, wanted[0])
    nearest = _nearest(template, shown, _large(seen(shown)))
    if nearest is None or nearest > ALIKE:  # rarely: then it is worth a search for further faces
        nearest = _nearest(template, shown, _large(detect(shown)))
    return nearest


def _large(found: Iterable[Face]) -> list[Face]:
    """Return the faces that are large enough, the largest first."""
    return sorted((face for face in found if face.width >= MIN_WIDTH), key=lambda face: -face.area)


def _nearest(template: NDArray[np.float64], picture: Picture, found: Sequence[Face]) -> float | None:
    distances = (np.linalg.norm(template - _embedding(picture, face)) for face in found[:MOST_FACES])
    return min(map(float, distances), default=None)


def _embedding(picture: Picture, face: Face) -> NDArray[np.float64]:
    import dlib  # noqa: PLC0415 - an extra of its own

    left, top, width, height = face.box
    box = dlib.rectangle(round(left), round(top), round(left + width), round(top + height))
    places = [dlib.point(round(x), round(y)) for x, y in face.landmarks[list(_LANDMARKS)].tolist()]
    marked = dlib.full_object_detection(box, dlib.points(places))
    return np.array(_network().compute_face_descriptor(np.ascontiguousarray(picture), marked))


@lru_cache(maxsize=1)
def _network() -> Any:
    import dlib  # noqa: PLC0415 - an extra of its own

    # Found without importing the package, which needs a part of setuptools that is no longer there.
    package = find_spec(_MODELS)
    if package is None or not package.submodule_search_locations:
        raise ImportError(f"{_MODELS} is not installed; install it with: pip install 'recast-server[likeness]'")
    return dlib.face_recognition_model_v1(str(Path(package.submodule_search_locations[0]) / "models" / _MODEL))
