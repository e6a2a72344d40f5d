"""The BlazeFace detector: candidates for faces in a picture.

The network sees 128 x 128 pixels and finds faces from roughly a seventh of that side up. Larger pictures are therefore
read several times: once whole, then in overlapping square tiles, so that the small faces of a group are found too.

Constants of the network (anchors, strides, score clipping, suppression) are those of MediaPipe's
`face_detection_short_range` graph.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from faces import nets
from faces.pictures import Picture, Points

SIDE = 128  # pixels; the network's input
LAYERS = ((8, 2), (16, 6))  # (stride in pixels, anchors per cell): 16 x 16 x 2 + 8 x 8 x 6 = 896
LOGIT_LIMIT = 80.0  # beyond, exp() overflows a float32 and the score is 0 or 1 anyway
MIN_SCORE = 0.5  # MediaPipe's own threshold; false finds are weeded out later by the mesh's presence score
SAME_FACE_IOU = 0.3  # boxes that overlap more than this are one face seen twice
INSIDE_FACE = 0.7  # a box that lies this much inside another is a part of that face, read from a smaller tile
TILE_STEP = 0.5  # of a tile's side: a face up to half a tile lies whole in at least one
SMALLEST_TILE = 96  # pixels; below this a tile would only be enlarged
CUT_MARGIN = 0.02  # of a tile's side: a box this near an inner edge is cut off, and a neighbour sees it whole


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """A possible face, in pixels of the picture: corners of its box, how sure, and six key points.

    Key points are right eye, left eye, nose tip, mouth centre, right and left ear, in the person's own sense.
    """

    corners: Points  # (2, 2): top left, bottom right
    score: float
    keypoints: Points  # (6, 2)


def candidates(picture: Picture) -> list[Candidate]:
    """Return every possible face in `picture`, each once, best first."""
    height, width = picture.shape[:2]
    long, short = max(height, width), min(height, width)
    found = _scan(picture, long)
    if long > 2 * short:
        found += _scan(picture, 2 * short)  # a face as high as a panorama fits whole into no smaller tile
    for side in (short, short // 2, short // 4):
        # The last, finest pass is many tiles of mostly background: worth its time only if nothing was seen so far.
        if side < SMALLEST_TILE or (side < short // 2 and found):
            break
        found += _scan(picture, side)
    return _merge(found)


def _scan(picture: Picture, side: int) -> list[Candidate]:
    found: list[Candidate] = []
    for left, top in _tiles(picture, side):
        found += read_tile(picture, left, top, side)
    return found


def _tiles(picture: Picture, side: int) -> Iterator[tuple[int, int]]:
    """Yield left and top of the square tiles that cover the picture evenly, overlapping by half or more."""
    height, width = picture.shape[:2]

    def starts(length: int) -> list[int]:
        if length <= side:
            return [-((side - length) // 2)]  # centred on a border, as MediaPipe does with the whole picture
        count = int(np.ceil((length - side) / (side * TILE_STEP))) + 1
        return [round(start) for start in np.linspace(0, length - side, count)]

    for top in starts(height):
        for left in starts(width):
            yield left, top


def read_tile(picture: Picture, left: int, top: int, side: int) -> list[Candidate]:
    """Return the possible faces in the square of `side` pixels at `left` and `top`; it may reach beyond the picture."""
    height, width = picture.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + side, width), min(top + side, height)
    scale = SIDE / side
    size = (max(1, round((x1 - x0) * scale)), max(1, round((y1 - y0) * scale)))
    part = cv2.resize(picture[y0:y1, x0:x1], size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    tile = np.zeros((SIDE, SIDE, 3), np.uint8)
    row, column = min(round((y0 - top) * scale), SIDE - size[1]), min(round((x0 - left) * scale), SIDE - size[0])
    tile[row : row + size[1], column : column + size[0]] = part

    blob = cv2.dnn.blobFromImage(tile, scalefactor=1 / 127.5, mean=(127.5, 127.5, 127.5))
    logits, values = nets.detector()(blob)
    scores = 1 / (1 + np.exp(-np.clip(logits.reshape(-1), -LOGIT_LIMIT, LOGIT_LIMIT)))
    # 16 values an anchor: box centre, box size, six key points; all but the size are offsets from the anchor.
    points = values.reshape(-1, 8, 2)
    found: list[Candidate] = []
    for index in np.flatnonzero(scores >= MIN_SCORE):
        anchor = _anchors()[index]
        centre, half = points[index, 0] + anchor, points[index, 1] / 2
        corners = np.stack([centre - half, centre + half]) / SIDE
        if _is_cut(corners.astype(np.float32), (left, top), side, (width, height)):
            continue
        offset = np.array([left, top], np.float32)
        keypoints = (points[index, 2:] + anchor) / scale + offset
        found.append(Candidate((corners * side + offset).astype(np.float32), float(scores[index]), keypoints))
    return _merge(found)


def _is_cut(box: Points, origin: tuple[int, int], side: int, size: tuple[int, int]) -> bool:
    """Return whether `box` (in tile units, 0..1) touches a tile edge beyond which the picture continues."""
    for axis in (0, 1):
        if box[0, axis] < CUT_MARGIN and origin[axis] > 0:
            return True
        if box[1, axis] > 1 - CUT_MARGIN and origin[axis] + side < size[axis]:
            return True
    return False


@cache
def _anchors() -> Points:
    """Return the (896, 2) anchor centres in pixels of the network's input, in the order of its outputs."""
    layers = []
    for stride, count in LAYERS:
        cells = (np.arange(SIDE // stride, dtype=np.float32) + 0.5) * stride
        y, x = np.meshgrid(cells, cells, indexing="ij")
        layers.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), count, axis=0))
    return np.concatenate(layers)


def _merge(found: list[Candidate]) -> list[Candidate]:
    """Weighted non-maximum suppression: boxes of one face become their average, weighted by score."""
    rest = sorted(found, key=lambda candidate: candidate.score, reverse=True)
    merged: list[Candidate] = []
    while rest:
        best = rest[0]
        same = [candidate for candidate in rest if _overlap(best, candidate)]
        rest = [candidate for candidate in rest if not _overlap(best, candidate)]
        weights = np.array([candidate.score for candidate in same], np.float32)
        corners = np.average([candidate.corners for candidate in same], axis=0, weights=weights)
        keypoints = np.average([candidate.keypoints for candidate in same], axis=0, weights=weights)
        merged.append(Candidate(corners.astype(np.float32), best.score, keypoints.astype(np.float32)))
    return merged


def _overlap(one: Candidate, other: Candidate) -> bool:
    sides = np.minimum(one.corners[1], other.corners[1]) - np.maximum(one.corners[0], other.corners[0])
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(np.maximum(candidate.corners[1] - candidate.corners[0], 1))) for candidate in (one, other)]
    return shared / (sum(areas) - shared) > SAME_FACE_IOU or shared / min(areas) > INSIDE_FACE
