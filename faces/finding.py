"""Faces in a picture: found, meshed, in reading order."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from faces import detection, meshing
from faces.errors import NoFaceError
from faces.pictures import Picture, Points

MIN_PRESENCE = 0.5  # MediaPipe's threshold for "there is a face under this mesh"
HEAD_SCALE = 2.2  # head over face: hair, ears and a cap included, with room to spare
HEAD_LIFT = 0.12  # of the face's height: a head's centre lies above its face's


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """One face. All coordinates are pixels of the picture it was found in, from its top left corner.

    `keypoints` (6, 2): right eye, left eye, nose tip, mouth centre, right ear, left ear, in the person's own sense.
    `mesh` (468, 3): MediaPipe's face mesh; the third column is depth, smaller is nearer.
    """

    x: float
    y: float
    width: float
    height: float
    score: float
    keypoints: Points
    mesh: Points
    #: How sure it is, from 0 to 1, that there is a face under the mesh.
    presence: float = 1.0

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height of the mesh's bounding box: hairline to chin, without hair and ears."""
        return self.x, self.y, self.width, self.height

    @property
    def middle(self) -> tuple[float, float]:
        """The middle of the box."""
        return self.x + self.width / 2, self.y + self.height / 2

    @property
    def landmarks(self) -> Points:
        """The mesh as (468, 2) points of the picture."""
        return self.mesh[:, :2]

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        return self.width * self.height

    def moved(self, right: float, down: float) -> Face:
        """Return the same face in a picture whose content lies so many pixels further right and down."""
        by = np.array([right, down], np.float32)
        mesh = self.mesh.copy()
        mesh[:, :2] += by
        return replace(self, x=self.x + right, y=self.y + down, keypoints=self.keypoints + by, mesh=mesh)

    def found_in(self, picture: Picture) -> Face:
        """Return the face at this one's place of another picture of the same size; `presence` says if there is any."""
        points, presence = meshing.follow(picture, self.mesh)
        return _meshed(points, presence, self.score, self.keypoints)


def detect(picture: Picture) -> list[Face]:
    """Return the faces in `picture` from left to right, by the centre of their boxes."""
    every = (face_of(picture, candidate) for candidate in detection.candidates(picture))
    return sorted((face for face in every if face.presence >= MIN_PRESENCE), key=lambda face: face.middle[0])


def face_of(picture: Picture, candidate: detection.Candidate, refinements: int = meshing.REFINEMENTS) -> Face:
    """Return the face that a candidate is, if its `presence` says that it is one."""
    points, presence = meshing.fit(picture, candidate.corners, candidate.keypoints[:2], refinements)
    return _meshed(points, presence, candidate.score, candidate.keypoints)


def _meshed(points: Points, presence: float, score: float, keypoints: Points) -> Face:
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    x, y, width, height = (float(value) for value in (*low, *(high - low)))
    return Face(x, y, width, height, score, keypoints, points, presence)


def pick(picture: Picture, index: int | None, name: str) -> Face:
    """Return face number `index` of `picture`, counted from the left, or the largest one for None.

    Raises NoFaceError, naming the picture by `name`, if there is none or none with that number.
    """
    found = detect(picture)
    if not found:
        raise NoFaceError(f"no face in the {name} picture")
    if index is None:
        return max(found, key=lambda face: face.area)
    if not 0 <= index < len(found):
        raise NoFaceError(f"no face number {index} in the {name} picture, which shows {len(found)}")
    return found[index]


def head_box(face: Face, scale: float = HEAD_SCALE) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the head around `face`: its box grown by `scale` about the head's centre.

    No swap touches a pixel outside. Left and top are never negative, so the four slice an array as they are; right and
    bottom may lie beyond the picture.
    """
    x = face.x + face.width / 2
    y = face.y + face.height * (0.5 - HEAD_LIFT)
    half_width, half_height = face.width * scale / 2, face.height * scale / 2
    return (
        max(0, int(np.floor(x - half_width))),
        max(0, int(np.floor(y - half_height))),
        max(0, int(np.ceil(x + half_width))),
        max(0, int(np.ceil(y + half_height))),
    )
