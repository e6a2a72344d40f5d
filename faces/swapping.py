"""The swap of one person's face, or whole head, onto another's picture."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.finding import Face, head_box, pick
from faces.matting import head_matte
from faces.pictures import Picture, Points, Weights, as_picture
from faces.warping import Box, shape_into, similarity, warp_face

FOREHEAD_KEPT = 0.45  # of the way from brows to hairline: above begins the target's own forehead, fringe or cap
FEATHER = 0.035  # of the face's width: the standard deviation of the oval's soft edge
FEATHER_REACH = 1.9  # standard deviations the oval is drawn in first, so that it has faded out at its outline
CONTRAST = (0.8, 1.25)  # how far lightness may be stretched: beyond, wrinkles become scars and shadows holes
SATURATION = (0.6, 1.0)  # colour is only ever toned down: stretched, a blush or a lens turns into a blotch
FACE_RIM = 2  # pixels around a mesh: room for its last, half-covered ones
BORDER = 0.04  # of the head box: a head's layer fades out towards the edges of the box it may touch
ERASE_SIDE = 160  # pixels; what was behind a removed head is guessed at this size, blurred by nature
ERASE_RADIUS = 3  # of those pixels, around a hole, that the guess is made from
HALF = 0.5  # of a matte: more is head, less is what stands behind or below it
RIM = np.ones((7, 7), np.uint8)  # of those pixels, beyond its matte: the hair's fringe and shadow go with the head
ALIAS_SPREAD = 0.5  # pixels of the smaller picture: half a pixel is what a sensor's own optics blur

BROWS = (105, 334)  # the middle of either brow in the mesh
HAIRLINE = 10


def swap(
    source: Picture,
    target: Picture,
    *,
    source_face: int | None = 0,
    target_face: int | None = None,
    head: bool = False,
) -> Picture:
    """Return `target` with the face of `source` on it, at the target's size.

    Faces are counted from the left; None means the largest. With `head` the hair goes along, and the target's own head
    is painted over. Every pixel outside `head_box` of the target's face is the target's, bit for bit.

    Raises NoFaceError, naming the picture, where there is no such face.
    """
    from_face = pick(source, source_face, "source")
    return transfer(source, from_face, target, pick(target, target_face, "target"), head=head)


def transfer(source: Picture, face: Face, target: Picture, to_face: Face, *, head: bool = False) -> Picture:
    """Return `target` with `source`'s `face` in place of `to_face`; as `swap`, for faces that are known already."""
    layer = (_head_layer if head else _face_layer)(source, face, target, to_face)
    weight = layer.alpha[:, :, None]
    result = target.copy()
    layer.box.cut(result)[:] = as_picture(layer.ground * (1 - weight) + layer.paint * weight)
    return result


class _Layer(NamedTuple):
    """What is painted, on what, where and how densely; all of the size of `box`, a part of the target."""

    box: Box
    ground: Picture
    paint: Picture
    alpha: Weights


def _head_in(picture: Picture, face: Face) -> Box:
    left, top, right, bottom = head_box(face)
    return Box(left, top, min(right, picture.shape[1]), min(bottom, picture.shape[0]))


def _face_layer(source: Picture, face: Face, target: Picture, to_face: Face) -> _Layer:
    """Return the source's face in the target's place, tone and outline, over the target as it is."""
    shape = shape_into(face, to_face)
    head = _head_in(target, to_face)
    left, top = np.floor(shape[:, :2].min(axis=0)).astype(int).tolist()
    right, bottom = np.ceil(shape[:, :2].max(axis=0)).astype(int).tolist()
    box = Box(
        max(head.left, left - FACE_RIM),
        max(head.top, top - FACE_RIM),
        min(head.right, right + FACE_RIM),
        min(head.bottom, bottom + FACE_RIM),
    )
    part = box.cut(target)
    alpha = _oval(shape[:, :2] - box.origin, box)
    painted = warp_face(source, face, target, shape, box)
    return _Layer(box, part, _toned(painted, alpha, part, alpha), alpha)


def _head_layer(source: Picture, face: Face, target: Picture, to_face: Face) -> _Layer:
    """Return the source's head in the target's place and tone, over the target without its own."""
    cut, box = _head_in(source, face), _head_in(target, to_face)
    original, part = cut.cut(source), box.cut(target)
    points, goal = face.landmarks - cut.origin, to_face.landmarks - box.origin
    matrix, offset = similarity(points, goal)
    affine = np.column_stack([matrix, offset])

    smooth = _without_finer_than(original, float(np.sqrt(np.linalg.det(matrix))))
    painted = as_picture(cv2.warpAffine(smooth, affine, box.size, flags=cv2.INTER_CUBIC))
    matte = head_matte(original, face.moved(-cut.left, -cut.top))
    inward = _inward(box, target)
    alpha = cv2.warpAffine(matte, affine, box.size, flags=cv2.INTER_LINEAR) * inward

    own = head_matte(part, to_face.moved(-box.left, -box.top)) * inward
    toned = _toned(painted, _oval((points @ matrix.T + offset).astype(np.float32), box), part, _oval(goal, box))
    return _Layer(box, _erased(part, own), toned, alpha.astype(np.float32))


def _oval(points: Points, box: Box) -> Weights:
    """Return the soft-edged inside of a face with the (468, 2) `points` of the box: 0 on its outline and beyond."""
    brow = points[list(BROWS)].mean(axis=0)
    up = points[HAIRLINE] - brow
    forehead = float(np.linalg.norm(up))
    up /= max(forehead, 1.0)
    above = np.maximum((points - brow) @ up - FOREHEAD_KEPT * forehead, 0)
    hull = cv2.convexHull(np.ascontiguousarray(points - above[:, None] * up, np.float32))

    width, height = box.size
    inside = np.zeros((height, width), np.uint8)
    cv2.fillConvexPoly(inside, np.rint(hull).astype(np.int32), 255)
    spread = max(1.0, FEATHER * float(np.ptp(points[:, 0])))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(np.ceil(FEATHER_REACH * spread)) + 1,) * 2)
    shrunk = cv2.erode(inside, disc, borderValue=255)
    soft = cv2.GaussianBlur(shrunk.astype(np.float32) / 255, (0, 0), spread)
    return np.where(inside > 0, soft, 0).astype(np.float32)


def _toned(layer: Picture, layer_skin: Weights, ground: Picture, ground_skin: Weights) -> Picture:
    """Return `layer` with the lightness, contrast and tint that `ground` has where both weigh their skin.

    In CIE Lab, by mean and standard deviation (Reinhard et al. 2001), with the contrast kept within limits.
    """
    values = cv2.cvtColor(layer.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    goal = cv2.cvtColor(ground.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    mean, spread = _moments(values, layer_skin)
    goal_mean, goal_spread = _moments(goal, ground_skin)
    ratio = goal_spread / np.maximum(spread, 1e-3)
    ratio[0] = np.clip(ratio[0], *CONTRAST)
    ratio[1:] = np.clip(ratio[1:], *SATURATION)
    change = (values - mean) * (ratio - 1) + goal_mean - mean
    # Light shows less on what is dark: pupils, frames and black hair may become darker, not lighter or tinted.
    lit = np.clip(values[:, :, :1] / max(float(mean[0]), 1.0), 0, 1)
    lit = np.concatenate([np.where(change[:, :, :1] < 0, 1, lit), lit, lit], axis=2)
    toned = values + change * lit
    return as_picture(cv2.cvtColor(toned.astype(np.float32), cv2.COLOR_LAB2RGB) * 255)


def _moments(values: NDArray[Any], weights: Weights) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the weighted mean and standard deviation of each channel."""
    weights = weights[:, :, None] / max(float(weights.sum()), 1e-6)
    mean = (values * weights).sum(axis=(0, 1))
    return mean, np.sqrt(((values - mean) ** 2 * weights).sum(axis=(0, 1)))


def _without_finer_than(picture: Picture, scale: float) -> Picture:
    """Return `picture` without the detail that would alias when it is drawn `scale` times as large."""
    if scale >= 1:
        return picture
    return as_picture(cv2.GaussianBlur(picture, (0, 0), ALIAS_SPREAD * float(np.sqrt(scale**-2 - 1))))


def _erased(part: Picture, matte: Weights) -> Picture:
    """Return `part` with what `matte` covers filled in from around it."""
    height, width = matte.shape
    scale = min(1.0, ERASE_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    hole = cv2.dilate((cv2.resize(matte, size, interpolation=cv2.INTER_AREA) > HALF).astype(np.uint8), RIM)
    filled = cv2.inpaint(small, hole, ERASE_RADIUS, cv2.INPAINT_TELEA)
    behind = cv2.resize(filled, (width, height), interpolation=cv2.INTER_CUBIC)
    grown = cv2.resize(cv2.GaussianBlur(hole.astype(np.float32), (0, 0), 1.0), (width, height))[:, :, None]
    return as_picture(part * (1 - grown) + behind * grown)


def _inward(box: Box, picture: Picture) -> Weights:
    """Return weights that rise from 0 at the edges of `box` to 1; an edge of the picture itself has no rim."""

    def ramp(start: int, end: int, length: int) -> Weights:
        places = np.arange(end - start, dtype=np.float32)
        rim = BORDER * len(places)
        rising = places / rim if start > 0 else np.ones_like(places)
        falling = places[::-1] / rim if end < length else np.ones_like(places)
        return np.clip(np.minimum(rising, falling), 0, 1).astype(np.float32)

    height, width = picture.shape[:2]
    return np.outer(ramp(box.top, box.bottom, height), ramp(box.left, box.right, width))
