"""The separation of a person, or a head with its hair, from the background: GrabCut, started from the face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.finding import Face, pick
from faces.pictures import Picture, Points, Weights, as_picture

WORK_SIDE = 256  # pixels; GrabCut's time grows with the area, and the outline is refined at full size afterwards
ROUNDS = 4  # of GrabCut; further ones change next to nothing
NO_RECTANGLE = (0, 0, 0, 0)  # the labels say it all
SEED = 0  # GrabCut starts its colour clusters at random; the same picture must give the same matte
GUIDE_RADIUS = 0.012  # of the longer side: how far the picture's own edges may move the outline
GUIDE_EPSILON = 1e-3  # squared contrast (0..1) below which such an edge counts as noise
SOFT = (0.25, 0.75)  # guided values below and above are fully out and in: a tighter outline, without a halo

# A head and shoulders, in widths and heights of the face's box from its middle; down is positive.
HAIR = (0.95, -1.2, 0.95)  # half width, top, bottom: nothing of a head lies outside this oval
SKULL = (0.55, -0.8, 0.5)  # nearly always head: face, ears, crown
CROWN = (0.4, -0.75, 0.5)  # always head, whatever pattern a cap has
CLOSE = 0.4  # of the face's width: notches in a head's outline narrower than this are patterns, not background
TRUNK_HALF_WIDTH = 0.25  # below the face, always person: neck and breast
SHOULDERS = (1.7, 1.5)  # half width of likely shoulders, and how far down they begin
BROAD = (2.4, 1.1)  # no shoulders lie outside these, which also leave room for a stiff collar
JAW_FEATHER = 0.02  # of the face's width
CHIN_FROM, CHIN_TO = 0.25, 0.42  # a head's matte fades between these: under it begins the neck


@dataclass(frozen=True, slots=True)
class _Draft:
    """GrabCut's labels for a picture shrunk by `scale`, drawn upon in widths and heights of the face."""

    labels: NDArray[np.uint8]
    face: Face
    scale: float

    def place(self, points: list[tuple[float, float]]) -> NDArray[np.int32]:
        """Return the `points`, given from the middle of the face, as pixels."""
        face = self.face
        size = np.array([face.width, face.height])
        middle = np.array([face.x, face.y]) + size / 2
        placed: NDArray[np.int32] = np.rint((middle + np.array(points) * size) * self.scale).astype(np.int32)
        return placed

    def oval(self, extent: tuple[float, float, float], label: int) -> None:
        half_width, top, bottom = extent
        low, high = self.place([(-half_width, top), (half_width, bottom)]).tolist()
        centre = (low[0] + high[0]) // 2, (low[1] + high[1]) // 2
        axes = (high[0] - low[0]) // 2, (high[1] - low[1]) // 2
        cv2.ellipse(self.labels, centre, axes, 0, 0, 360, label, cv2.FILLED)

    def polygon(self, points: list[tuple[float, float]], label: int) -> None:
        cv2.fillPoly(self.labels, [self.place(points)], label)

    def head(self) -> None:
        before = self.labels.copy()
        self.oval(HAIR, cv2.GC_PR_BGD)
        np.copyto(self.labels, before, where=(before != cv2.GC_BGD))  # where hair may be, a shoulder may be likelier
        self.oval(SKULL, cv2.GC_PR_FGD)
        self.oval(CROWN, cv2.GC_FGD)
        cv2.fillConvexPoly(self.labels, _hull(self.face.landmarks * self.scale), cv2.GC_FGD)

    def grab(self, small: Picture) -> Weights:
        """Run GrabCut and return the foreground that hangs together with the face, without holes, as 0 or 1."""
        sure = (self.labels == cv2.GC_FGD).astype(np.uint8)
        cv2.setRNGSeed(SEED)
        behind, before = np.zeros((2, 1, 65))  # its working memory: two colour models of five Gaussians
        cv2.grabCut(small, self.labels, NO_RECTANGLE, behind, before, ROUNDS, cv2.GC_INIT_WITH_MASK)
        inside = (sure | (self.labels == cv2.GC_PR_FGD)).astype(np.uint8)
        inside = _morph(inside, cv2.MORPH_OPEN, 3) | sure
        chin = self.place([(0, 0.4)])[0, 1]
        inside[:chin] = _morph(inside[:chin], cv2.MORPH_CLOSE, CLOSE * self.face.width * self.scale)
        _, parts = cv2.connectedComponents(inside)
        whole = np.isin(parts, np.unique(parts[sure > 0])).astype(np.uint8)
        outlines, _ = cv2.findContours(whole, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        return cv2.drawContours(np.zeros(whole.shape, np.float32), outlines, -1, 1.0, cv2.FILLED).astype(np.float32)


def cutout(picture: Picture) -> Picture:
    """Return `picture` as (height, width, 4) RGBA with everything transparent but the person with the largest face.

    Raises NoFaceError if there is no face that locates the person.
    """
    matte = person_matte(picture, pick(picture, None, "given"))
    return np.dstack([picture, as_picture(matte * 255)])


def person_matte(picture: Picture, face: Face) -> Weights:
    """Return how much each pixel belongs to the person with `face`: 0 to 1, shape (height, width)."""
    small, scale = _shrunk(picture)
    draft = _Draft(np.full(small.shape[:2], cv2.GC_BGD, np.uint8), face, scale)
    under = small.shape[0] / (face.height * scale)  # in face heights, surely beyond the picture's lower edge
    for (wide, down), collar, label in ((BROAD, 0.7, cv2.GC_PR_BGD), (SHOULDERS, 0.3, cv2.GC_PR_FGD)):
        right = [(collar, 0.4), (wide, down), (wide, under)]
        draft.polygon(right + [(-x, y) for x, y in reversed(right)], label)
    trunk = TRUNK_HALF_WIDTH
    draft.polygon([(-trunk, 0.0), (trunk, 0.0), (trunk, under), (-trunk, under)], cv2.GC_FGD)
    draft.head()
    return _refined(picture, draft.grab(small))


def head_matte(picture: Picture, face: Face) -> Weights:
    """Return how much each pixel belongs to the head with `face`, hair and cap included, neck excluded: 0 to 1."""
    small, scale = _shrunk(picture)
    draft = _Draft(np.full(small.shape[:2], cv2.GC_BGD, np.uint8), face, scale)
    draft.head()
    matte = _refined(picture, draft.grab(small))

    rows = (np.arange(matte.shape[0], dtype=np.float32) - face.y) / face.height - 0.5
    above = np.clip((CHIN_TO - rows) / (CHIN_TO - CHIN_FROM), 0, 1)[:, None]
    jaw = np.zeros(matte.shape, np.float32)
    cv2.fillConvexPoly(jaw, _hull(face.landmarks), 1.0)
    soft_jaw = cv2.GaussianBlur(jaw, (0, 0), max(1.0, JAW_FEATHER * face.width))
    return np.asarray(matte * np.maximum(above, soft_jaw), np.float32)


def _hull(points: Points) -> NDArray[np.int32]:
    return np.rint(cv2.convexHull(np.ascontiguousarray(points, np.float32))).astype(np.int32)


def _shrunk(picture: Picture) -> tuple[Picture, float]:
    height, width = picture.shape[:2]
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA).astype(np.uint8), scale


def _morph(mask: NDArray[np.uint8], operation: int, size: float) -> NDArray[np.uint8]:
    pad = int(size) + 1  # closing must not run into the picture's edge
    padded = cv2.copyMakeBorder(mask, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * int(size / 2) + 1,) * 2)
    return cv2.morphologyEx(padded, operation, disc)[pad:-pad, pad:-pad].astype(np.uint8)


def _refined(picture: Picture, mask: Weights) -> Weights:
    """Enlarge `mask` to `picture` and let the picture's edges place its outline (guided filter, He et al. 2010)."""
    height, width = picture.shape[:2]
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    mask = cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.float32)
    side = 2 * max(1, round(GUIDE_RADIUS * max(height, width))) + 1

    def mean(values: NDArray[Any]) -> NDArray[Any]:
        return cv2.blur(values, (side, side))

    mean_grey, mean_mask = mean(grey), mean(mask)
    slope = (mean(grey * mask) - mean_grey * mean_mask) / (mean(grey * grey) - mean_grey**2 + GUIDE_EPSILON)
    guided = mean(slope) * grey + mean(mean_mask - slope * mean_grey)
    low, high = SOFT
    return np.asarray(np.clip((guided - low) / (high - low), 0, 1), np.float32)
