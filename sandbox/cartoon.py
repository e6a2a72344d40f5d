"""Drawings from photos, for providers that sell avatars: flat colours between dark outlines."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from faces.pictures import Picture

WORK_SIDE = 512  # pixels; smoothing takes time by the area, and what is flat can be enlarged
SMOOTHINGS = 5  # rounds of the bilateral filter: skin is flat after them, and edges still stand
LEVELS = 12  # of lightness
LEVEL_BLUR = 2.5  # pixels: the standard deviation that rounds the borders between two levels
LINE_BLOCK = 9  # pixels around one that decide whether it belongs to an outline
LINE_CONTRAST = 6  # of 255, by which an outline is darker than its surroundings
LINE_TONE = 0.35  # of the colour under an outline: dark, and not black


def cartoon(picture: Picture) -> Picture:
    """Return an RGB picture as a drawing of the same size."""
    import cv2  # noqa: PLC0415 (the engine is optional)
    import numpy as np  # noqa: PLC0415 (as above)

    height, width = picture.shape[:2]
    scale = min(1.0, WORK_SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    flat = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    for _ in range(SMOOTHINGS):
        flat = cv2.bilateralFilter(flat, 9, 30, 9)
    # Outlines are taken before the levels, whose own borders are not outlines.
    grey = cv2.medianBlur(cv2.cvtColor(flat, cv2.COLOR_RGB2GRAY), 5)
    lines = cv2.adaptiveThreshold(grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, LINE_BLOCK, LINE_CONTRAST)
    lab = cv2.cvtColor(flat, cv2.COLOR_RGB2LAB)
    step = 255 / (LEVELS - 1)
    levels = np.rint(cv2.GaussianBlur(lab[:, :, 0], (0, 0), LEVEL_BLUR) / step) * step
    # An edge keeps its own lightness: the blurred one would glow around it.
    sharp = np.abs(levels - lab[:, :, 0]) > step
    lab[:, :, 0] = np.where(sharp, lab[:, :, 0], levels)
    flat = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)
    ink = cv2.GaussianBlur(lines.astype(np.float32) / 255, (0, 0), 0.7)[:, :, None]
    drawn = flat * (LINE_TONE + (1 - LINE_TONE) * ink)
    enlarged = cv2.resize(drawn.astype(np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)
    return enlarged.astype(np.uint8, copy=False)
