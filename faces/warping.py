"""The warp of one face's pixels onto another face's shape, triangle by triangle, in a single remap."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.finding import Face, pick
from faces.pictures import Picture, Points, Weights, decode, resize

STOCK = Path(__file__).parent / "stock"  # portraits to paint faces on; CREDITS.md beside them says whose
REFERENCE = STOCK / "astronaut.jpg"  # looks straight ahead with lips parted, so no two points of the mesh coincide

MIN_DOUBLE_AREA = 0.02  # square pixels; thinner triangles are seen edge-on and their inverse is noise
SUBPIXEL_BITS = 4  # triangle corners are drawn to a sixteenth of a pixel
SHRINK_FROM = 1.2  # source over target size from which plain interpolation would alias
FREE_FROM = 0.22  # of the face's width, inwards from its outline: from there on the features keep their own places
NO_SECOND_MAP = np.empty(0, np.float32)  # `cv2.remap` takes both coordinates from its first map then
MARGIN = 0.25  # of the face's size: what is cut out around the source face


class Box(NamedTuple):
    """A part of a picture in whole pixels; right and bottom are exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    def cut(self, picture: Picture) -> Picture:
        """Return that part of `picture`, as a view."""
        return picture[self.top : self.bottom, self.left : self.right]

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top

    @property
    def origin(self) -> Points:
        """The top left corner as a point."""
        return np.array([self.left, self.top], np.float32)


@cache
def _reference() -> Points:
    """Return the (468, 2) mesh of a face that looks straight ahead."""
    return np.ascontiguousarray(pick(decode(REFERENCE.read_bytes()), None, "reference").landmarks)


@cache
def triangles() -> NDArray[np.intp]:
    """Return (n, 3) indices into the face mesh: the Delaunay triangles of a face that looks straight ahead.

    The same for every face, so that corresponding triangles exist however a face is turned.
    """
    points = _reference()
    right, bottom = np.ceil(points.max(axis=0)).astype(int) + 1
    plane = cv2.Subdiv2D((0, 0, int(right), int(bottom)))
    index: dict[bytes, int] = {}
    for number, (x, y) in enumerate(points):
        plane.insert((float(x), float(y)))
        index[np.array([x, y], np.float32).tobytes()] = number
    corners = np.ascontiguousarray(plane.getTriangleList(), np.float32).reshape(-1, 3, 2)
    numbered = [[index.get(corner.tobytes()) for corner in triangle] for triangle in corners]
    # OpenCV also lists triangles that hang on the corners of its own outer frame; those are not the face's.
    return np.array([triangle for triangle in numbered if None not in triangle], np.intp)


@cache
def _boundness() -> Weights:
    """Return for each point of the mesh how much it stays where the target's is: 1 on the outline, 0 well inside."""
    points = _reference()
    outline = cv2.convexHull(points)
    width = float(np.ptp(points[:, 0]))
    depth = np.array([cv2.pointPolygonTest(outline, (float(x), float(y)), measureDist=True) for x, y in points])
    inward = np.clip(depth / (FREE_FROM * width), 0, 1)
    return (1 - inward**2 * (3 - 2 * inward)).astype(np.float32)


def shape_into(face: Face, target: Face) -> Points:
    """Return the (468, 3) mesh a swap paints: `face` posed as `target` is, within `target`'s outline.

    Eyes, nose and mouth keep the proportions of the person they belong to, which is most of what makes a likeness, and
    a closed mouth stays closed: there are no teeth in the source to open it with.
    """
    matrix, offset = similarity(face.mesh, target.mesh)
    bound = _boundness()[:, None]
    return bound * target.mesh + (1 - bound) * (face.mesh @ matrix.T + offset)


def similarity(points: Points, onto: Points) -> tuple[Points, Points]:
    """Return the matrix and offset that turn, scale and move `points` to lie best on `onto` (Umeyama 1991).

    Both are (n, d), in the plane or in space; a point p goes to `matrix @ p + offset`.
    """
    centre, goal = points.mean(axis=0), onto.mean(axis=0)
    body, image = points - centre, onto - goal
    left, stretch, right = np.linalg.svd(image.T @ body)
    handed = np.ones_like(stretch)
    handed[-1] = np.sign(np.linalg.det(left @ right))  # a turn, never a mirror image
    matrix = (left * handed) @ right * ((stretch * handed).sum() / (body**2).sum())
    return matrix.astype(np.float32), (goal - matrix @ centre).astype(np.float32)


def warp_face(source: Picture, face: Face, picture: Picture, shape: Points, box: Box) -> Picture:
    """Return the part of `picture` within `box` with `source`'s `face` painted over it in the given (468, 3) `shape`.

    Hard-edged and in the source's own colours; pixels that no visible triangle covers stay the picture's.
    """
    source, points = _matching_size(source, face, shape)
    corners, origins = (shape[:, :2] - box.origin)[triangles()], points[triangles()]

    sides = corners[:, 1:] - corners[:, :1]
    double_area = sides[:, 0, 0] * sides[:, 1, 1] - sides[:, 0, 1] * sides[:, 1, 0]
    facing = np.sign(np.median(double_area))  # all triangles that face the camera wind the same way
    shown = np.flatnonzero(double_area * facing > MIN_DOUBLE_AREA)
    depth = shape[triangles(), 2].mean(axis=1)
    shown = shown[np.argsort(-depth[shown])]  # far to near: of a turned face, the nose covers the cheek behind it

    width, height = box.size
    owner = np.full((height, width), -1, np.int32)
    fixed = np.rint(corners * (1 << SUBPIXEL_BITS)).astype(np.int32)
    for number in shown:
        cv2.fillConvexPoly(owner, fixed[number], int(number), shift=SUBPIXEL_BITS)

    homogeneous = np.concatenate([corners[shown], np.ones((len(shown), 3, 1), np.float32)], axis=2)
    affine = np.zeros((len(corners), 3, 2), np.float32)
    affine[shown] = np.linalg.solve(homogeneous.astype(np.float64), origins[shown])
    rows, columns = np.nonzero(owner >= 0)
    of_pixel = affine[owner[rows, columns]]
    where = np.zeros((height, width, 2), np.float32)
    where[rows, columns] = of_pixel[:, 0] * columns[:, None] + of_pixel[:, 1] * rows[:, None] + of_pixel[:, 2]
    painted = cv2.remap(source, where, NO_SECOND_MAP, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.where(owner[:, :, None] >= 0, painted, box.cut(picture)).astype(np.uint8)


def _matching_size(source: Picture, face: Face, shape: Points) -> tuple[Picture, Points]:
    """Cut `face` out of `source`, shrunk to the size of `shape` if it is larger, with its landmarks there."""
    height, width = source.shape[:2]
    margin = MARGIN * max(face.width, face.height)
    box = Box(
        max(0, int(face.x - margin)),
        max(0, int(face.y - margin)),
        min(width, int(face.x + face.width + margin) + 1),
        min(height, int(face.y + face.height + margin) + 1),
    )
    part, points = box.cut(source), face.landmarks - box.origin
    ratio = float(np.sqrt(face.area / np.prod(np.ptp(shape[:, :2], axis=0))))
    if ratio < SHRINK_FROM:
        return part, points
    size = max(1, round(box.size[0] / ratio)), max(1, round(box.size[1] / ratio))
    scale = np.array(size, np.float32) / np.array(box.size, np.float32)
    # Pixel centres, not corners, are what coordinates count: hence the half pixels.
    moved = ((points + 0.5) * scale - 0.5).astype(np.float32)
    return resize(part, *size), moved
