"""Charts of a batch's spend and of the providers' answer times, as lines to draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

WIDTH, HEIGHT = 480.0, 120.0  # of a chart, in its own units


@dataclass(frozen=True, slots=True)
class Line:
    """A line to draw, the area under it, and its highest and last values."""

    path: str
    area: str
    most: float
    last: float


def line(times: Sequence[datetime], values: Sequence[float | None], most: float | None = None) -> Line | None:
    """A line through the known values; None if there are none."""
    known = [(time.timestamp(), value) for time, value in zip(times, values, strict=True) if value is not None]
    if not known:
        return None
    start, end = times[0].timestamp(), times[-1].timestamp()
    top = max(most or 0.0, *(value for _, value in known)) or 1.0
    placed = [
        ((time - start) / (end - start) * WIDTH if end > start else WIDTH, HEIGHT * (1 - value / top))
        for time, value in known
    ]
    if len(placed) == 1:
        placed.insert(0, (0.0, placed[0][1]))
    path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in placed)
    area = f"{path} L{placed[-1][0]:.1f} {HEIGHT:g} L{placed[0][0]:.1f} {HEIGHT:g} Z"
    return Line(path, area, top, known[-1][1])
