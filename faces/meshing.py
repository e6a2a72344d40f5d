"""Face Mesh: 468 points on a face, always in the same order, so that any two faces correspond point by point."""

from __future__ import annotations

import cv2
import numpy as np

from faces import nets
from faces.pictures import Picture, Points

SIDE = 192  # pixels; the network's input
POINTS = 468
ENLARGE = 1.5  # the crop's side over the box's, as in MediaPipe's graph: the network was trained with that much around
REFINEMENTS = 1  # further readings with a crop from the mesh itself: the detector's box is coarse on small faces

# Indices into the mesh (MediaPipe's numbering; right and left in the person's own sense).
RIGHT_EYE_OUTER, RIGHT_EYE_INNER = 33, 133
LEFT_EYE_INNER, LEFT_EYE_OUTER = 362, 263


def fit(picture: Picture, corners: Points, eyes: Points, refinements: int = REFINEMENTS) -> tuple[Points, float]:
    """Return the (468, 3) mesh of the face within `corners`, in pixels, and the probability that it is a face.

    `eyes` holds the right and the left eye's centre; their line turns the crop upright. Depth (the third column) is in
    the same unit as x and y, smaller is nearer to the camera.
    """
    centre = corners.mean(axis=0)
    side = float(np.max(corners[1] - corners[0]))
    mesh, presence = _read(picture, centre, side * ENLARGE, eyes)
    for _ in range(refinements):
        mesh, presence = follow(picture, mesh)
    return mesh, presence


def follow(picture: Picture, mesh: Points) -> tuple[Points, float]:
    """Return, as `fit`, the mesh of the face where one was before: in this picture, or in another of the same size."""
    eyes = eye_centres(mesh)
    upright = mesh[:, :2] @ _turn(_angle(eyes)).T
    low, high = upright.min(axis=0), upright.max(axis=0)
    centre = ((low + high) / 2) @ _turn(_angle(eyes))
    return _read(picture, centre, float(np.max(high - low)) * ENLARGE, eyes)


def eye_centres(mesh: Points) -> Points:
    """Return the (2, 2) centres of the right and the left eye."""
    right = mesh[[RIGHT_EYE_OUTER, RIGHT_EYE_INNER], :2].mean(axis=0)
    left = mesh[[LEFT_EYE_INNER, LEFT_EYE_OUTER], :2].mean(axis=0)
    return np.stack([right, left]).astype(np.float32)


def _read(picture: Picture, centre: Points, side: float, eyes: Points) -> tuple[Points, float]:
    back = np.empty((2, 3), np.float64)  # from the network's input to the picture
    back[:, :2] = _turn(_angle(eyes)).T * (side / SIDE)
    back[:, 2] = centre - back[:, :2] @ np.array([SIDE / 2, SIDE / 2])
    crop = cv2.warpAffine(picture, back, (SIDE, SIDE), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP)
    values, presence = nets.mesher()(cv2.dnn.blobFromImage(crop, scalefactor=1 / 255))
    points = values.reshape(POINTS, 3)
    mesh = np.empty_like(points)
    mesh[:, :2] = points[:, :2] @ back[:, :2].T + back[:, 2]
    mesh[:, 2] = points[:, 2] * (side / SIDE)
    return mesh, float(1 / (1 + np.exp(-presence.item())))


def _angle(eyes: Points) -> float:
    across = eyes[1] - eyes[0]
    return float(np.arctan2(across[1], across[0]))


def _turn(angle: float) -> Points:
    """Return the 2 x 2 matrix that turns a point by minus `angle`, so that a line at `angle` becomes level."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, sin], [-sin, cos]], np.float32)
