"""The comparison of a made picture with the one it was made of: what changed, where, and which faces both show.

Networks are what takes time, so they look only where it matters: at the whole picture, at the places where the two
pictures differ, and, for each face that one of them shows, at the same place of the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces import detection
from faces.finding import MIN_PRESENCE, Face, detect, face_of, head_box
from faces.pictures import Picture, Points, Weights, as_picture, resize, within

WORK_SIDE = 512  # pixels of the longer side on which pictures are compared: finer detail is noise and recompression
EVEN = 5  # of these pixels: the side of the square that evens out noise before pixels are compared
FEW = 8  # every so manieth pixel says how much lighter or darker a picture is as a whole
ALIKE = 8.0  # of 255: pixels that differ by less, once exposure is evened out, show the same
ROUNDS = 4  # of looking for these pixels, and for the exposure that they tell of
MOST_GAIN = 1.25  # times as light, or as dark: what differs by more was not just exposed in another way
BLOCKS = 32  # blocks along the longer side, whose mean differences are compared
SAME_PLACE = 0.6  # of a face's width: two faces whose middles are nearer are one
HEAD_SCALE = 2.3  # of a face's box: what a swap may change, with hair, and with the shadow that it throws
OWN_SCALE = 1.6  # of a face's box: a change within is a change of that face, and no other one has room there
REGION_MARGIN = 1.6  # of a changed place, around it: the detector wants to see a face's surroundings
MAX_REGIONS = 4  # changed places that are searched for faces, the largest first
CHANGED = 8.0  # of 255: a block that differs by so much was changed, and not only compressed again
SOFT_FACE = 4.8  # how many times softer a face may be than before, compared with what lies outside all heads
SOFT_WHOLE = 1.6  # the same of a whole picture: a head of another photo may fill it
ROOM = 0.01  # of a picture: so much of it must lie outside all heads for its sharpness to mean anything
HASHED_SIDE, HASH_SIDE = 32, 8  # pixels that are hashed, and the frequencies of them that are kept
FREE = 0.25  # of a block: so much of it must lie outside all heads for its difference to mean anything
FLAT = 1e-3  # of contrast: below, there is nothing to compare


@dataclass(frozen=True, slots=True)
class Compared:
    """What two pictures of the same scene have in common; differences are in levels of 255."""

    #: Faces of the picture before, and of the one that was made.
    before: int
    after: int
    #: How sure it is, from 0 to 1, that the made picture shows a face at all.
    presence: float
    #: Mean of the face that changed most; None where the picture before shows none.
    face_difference: float | None
    #: Of the block outside all heads that changed most; None where the heads leave no room.
    outside_difference: float | None
    #: Sharpness after over before, outside all heads, or of a face or the whole if they lost more than they may.
    sharpness: float


def presence_in(picture: Picture) -> float:
    """Return how sure it is, from 0 to 1, that a picture by itself shows a face."""
    small = within(picture, WORK_SIDE)
    return max((face.presence for face in seen(small) or detect(small)), default=0.0)


def compare(before: Picture, after: Picture) -> Compared:
    """Return what became of `before` in `after`, which show the same part of a scene, perhaps in different sizes."""
    old = within(before, WORK_SIDE)
    new = resize(after, old.shape[1], old.shape[0])
    difference = _difference(old, new)
    olds, news = _both(old, new, _blocks(difference))
    heads = _heads(olds + news, old.shape)
    return Compared(
        before=len(olds),
        after=len(news),
        presence=max((face.presence for face in news), default=0.0),
        face_difference=max((_inside(difference, face) for face in olds), default=None),
        outside_difference=_most_outside(difference, heads),
        sharpness=_sharpness(old, new, olds, heads),
    )


def hash_of(picture: Picture) -> int:
    """Return a perceptual hash of 64 bits, as a signed number: pictures that look alike differ in a few bits.

    The signs of its lowest frequencies, by a DCT: hardly changed by compression, size, light and contrast.
    """
    grey = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (HASHED_SIDE, HASHED_SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    waves = cv2.dct(small)[:HASH_SIDE, :HASH_SIDE].ravel()
    bits = np.packbits(waves > 0)
    return int.from_bytes(bits.tobytes(), signed=True)


def _difference(old: Picture, new: Picture) -> Picture:
    """Return by how much each pixel differs, in the color that differs most, once noise and exposure are evened out."""
    smooth = [as_picture(cv2.blur(picture, (EVEN, EVEN))) for picture in (old, new)]
    by_color = cv2.split(cv2.absdiff(smooth[0], _exposed_as(*smooth)))
    return as_picture(cv2.max(by_color[0], cv2.max(by_color[1], by_color[2])))


def _exposed_as(old: Picture, new: Picture) -> Picture:
    """Return `new` in the light of `old`: each color as much lighter or darker as where both show the same."""
    few = [picture[::FEW, ::FEW].reshape(-1, 3).astype(np.float32) for picture in (old, new)]
    levels = np.arange(256, dtype=np.float32)
    curves = [_line(*(picture[:, color] for picture in few)) for color in range(3)]
    table = np.stack([gain * levels + offset for gain, offset in curves], axis=-1)
    return as_picture(cv2.LUT(new, as_picture(np.rint(table))[None]))


def _line(old: Weights, new: Weights) -> tuple[float, float]:
    """Return gain and offset that lead from `new` to `old`, by those values that they hardly change."""
    gain, offset = 1.0, float(np.median(old - new))
    for _ in range(ROUNDS):  # by those of a mere offset first, then by those of the line
        same = np.abs(gain * new + offset - old) < ALIKE
        spread = float(new[same].var()) if same.any() else 0.0
        if spread < ALIKE**2:  # of one shade: any gain would do
            break
        steep = float(np.mean((new[same] - new[same].mean()) * (old[same] - old[same].mean()))) / spread
        gain = min(max(steep, 1 / MOST_GAIN), MOST_GAIN)
        offset = float(np.mean(old[same] - gain * new[same]))
    return gain, offset


def _blocks(values: NDArray[Any]) -> Weights:
    """Return the mean of each block of `values`."""
    height, width = values.shape
    step = max(height, width) / BLOCKS
    size = max(1, round(width / step)), max(1, round(height / step))
    return cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_AREA).astype(np.float32, copy=False)


# --- Faces ----------------------------------------------------------------------------------------------------------


def _both(old: Picture, new: Picture, blocks: Weights) -> tuple[list[Face], list[Face]]:
    """Return the faces of both pictures: what one of them shows is looked for at the same place of the other."""
    olds = seen(old)
    news = _followed(new, olds, [])
    for region in _regions(blocks, old.shape, olds):
        olds += seen(old, region, olds)
    if len(news) < len(olds) or _regions(blocks, old.shape, olds):
        news += seen(new, known=olds + news)
    for region in _regions(blocks, old.shape, olds + news):
        news += seen(new, region, olds + news)
    if not news:  # rarely: then it is worth a search for faces that are small, or elsewhere
        olds += [face for face in detect(old) if _is_new(face, olds)]
        news = [] if olds else detect(new)
    news += _followed(new, olds, news)
    olds += _followed(old, news, olds)
    return olds, news


def seen(picture: Picture, region: tuple[int, int, int] | None = None, known: Sequence[Face] = ()) -> list[Face]:
    """Return the faces beside `known` ones that one look at the whole picture shows, or at a square of it."""
    if region is None:
        height, width = picture.shape[:2]
        side = max(height, width)
        region = -((side - width) // 2), -((side - height) // 2), side
    found: list[Face] = []
    for candidate in detection.read_tile(picture, *region):
        if any(near(candidate.corners.mean(axis=0), face) for face in (*known, *found)):
            continue
        face = face_of(picture, candidate, refinements=0)  # where a face is, and not how it looks, is what matters
        if face.presence >= MIN_PRESENCE and _is_new(face, [*known, *found]):
            found.append(face)
    return found


def _followed(picture: Picture, faces: Sequence[Face], known: Sequence[Face]) -> list[Face]:
    """Return the faces at the places of `faces`, which another picture of the same size shows, beside `known` ones."""
    there = [face.found_in(picture) for face in faces if _is_new(face, known)]
    return [face for face in there if face.presence >= MIN_PRESENCE and not _is_new(face, faces)]


def _is_new(face: Face, known: Sequence[Face]) -> bool:
    return not any(near(np.array(face.middle, np.float32), other) for other in known)


def near(place: Points, face: Face) -> bool:
    """Return whether a face with its middle at `place` is `face`."""
    return bool(np.hypot(*(place - face.middle)) <= SAME_PLACE * face.width)


def _regions(blocks: Weights, shape: tuple[int, ...], known: Sequence[Face]) -> list[tuple[int, int, int]]:
    """Return left, top and side of the squares around the changed places that no known face accounts for."""
    height, width = shape[:2]
    step = np.array([width / blocks.shape[1], height / blocks.shape[0]])
    changed = (blocks > CHANGED).astype(np.uint8)
    for face in known:
        left, top, right, bottom = (np.array(head_box(face, OWN_SCALE)) / [*step, *step]).astype(int)
        changed[top : bottom + 1, left : right + 1] = 0
    number, _, stats, _ = cv2.connectedComponentsWithStats(changed)
    largest = sorted(stats[1:number], key=lambda each: -each[cv2.CC_STAT_AREA])[:MAX_REGIONS]
    found = []
    for x, y, wide, high, _ in largest:
        side = int(REGION_MARGIN * max(wide * step[0], high * step[1], detection.SMALLEST_TILE))
        middle = (np.array([x, y]) + np.array([wide, high]) / 2) * step
        left, top = (middle - side / 2).astype(int).tolist()
        found.append((left, top, side))
    return found


# --- Differences ----------------------------------------------------------------------------------------------------


def _heads(faces: Sequence[Face], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    covered = np.zeros(shape[:2], np.uint8)
    for face in faces:
        left, top, right, bottom = head_box(face, HEAD_SCALE)
        covered[top:bottom, left:right] = 1
    return covered


def _inside(difference: Picture, face: Face) -> float:
    """Return the mean difference within the outline of `face`."""
    mask = np.zeros(difference.shape, np.uint8)
    hull = cv2.convexHull(np.ascontiguousarray(face.landmarks, np.float32))
    cv2.fillConvexPoly(mask, np.rint(hull).astype(np.int32), 1)
    return float(cv2.mean(difference, mask)[0])


def _most_outside(difference: Picture, heads: NDArray[np.uint8]) -> float | None:
    """Return the mean difference of the block that differs most, of those outside the heads."""
    outside = 1 - heads
    free = _blocks(outside)
    enough = free >= FREE
    return float((_blocks(difference * outside)[enough] / free[enough]).max()) if enough.any() else None


def _sharpness(old: Picture, new: Picture, faces: Sequence[Face], heads: NDArray[np.uint8]) -> float:
    """Return how much sharpness was kept, by a Laplacian's variance.

    Outside all heads the photo is the same, and should be as sharp. A face comes from another one, which may be softer,
    so less is asked of it, and of a whole picture that it may fill.
    """
    edges = [cv2.Laplacian(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.CV_32F) for picture in (old, new)]

    def kept(area: tuple[slice, slice] | NDArray[np.bool_]) -> float:
        before, after = (float(each[area].var()) if each[area].size else 0.0 for each in edges)
        return after / max(before, FLAT)

    boxes = [face.box for face in faces]
    areas = [
        np.s_[max(0, int(y)) : int(y + high) + 1, max(0, int(x)) : int(x + wide) + 1] for x, y, wide, high in boxes
    ]
    outside = heads == 0
    there = [kept(outside)] if outside.mean() >= ROOM else []
    return min([SOFT_WHOLE * kept(np.s_[:, :]), *there, *(SOFT_FACE * kept(area) for area in areas)])
