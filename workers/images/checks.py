"""Quality checks of a stored result: decoded within bounds, measured, and given scores. It changes nothing.

The face engine is an optional extra (`recast-server[faces]`); without it there are no checks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from PIL import Image

from providers import operation as operation_called
from workers.config.check_thresholds import Thresholds
from workers.images.check_rules import OURS, Measured, Score, scored
from workers.images.decoding import decoded, orientation, shrunk, upright
from workers.images.headers import inspect

SIDE: Final = 512  # pixels of the longer side that are compared; see `faces.comparing`
_GREYS_SIDE: Final = 64  # pixels of the copy whose greys are counted: noise is evened out in it
_GROUND: Final = (127, 127, 127)  # what stands behind transparent parts, neither of the usual two
_LYING: Final = frozenset({5, 6, 7, 8})  # the EXIF orientations that turn a picture on its side
SHAPE_TOLERANCE: Final = 0.02  # of width over height: two pictures that differ by less show the same part of a scene


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture, decoded and small, and the size that it has in full, upright, in pixels."""

    image: Image.Image
    size: tuple[int, int]

    @property
    def entropy(self) -> float:
        """Bits of its greys."""
        greys = self.image.convert("L").resize((_GREYS_SIDE, _GREYS_SIDE), Image.Resampling.BOX)
        return float(greys.entropy())

    @property
    def blank(self) -> bool:
        """Whether there is nothing in it to compare, so that its target need not be read."""
        return scored(Measured(self.entropy), "")[0].flagged


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks of one result say, and the perceptual hashes of it and its target, where there are any."""

    scores: tuple[Score, ...]
    hash: int | None = None
    target_hash: int | None = None


def opened(data: bytes) -> Opened:
    """Decode a picture as far as its checks need it.

    Raises:
        BadPictureError: it is damaged, or it would take too much time or memory.
    """
    picture = inspect(data)
    with decoded(data, picture, side=SIDE) as image:
        turned = orientation(image)
        small = shrunk(image, SIDE, Image.Resampling.BOX)
    if small.has_transparency_data:
        layered = small.convert("RGBA")
        small = Image.alpha_composite(Image.new("RGBA", layered.size, (*_GROUND, 255)), layered)
    size = picture.width, picture.height
    return Opened(upright(small.convert("RGB"), turned), size[::-1] if turned in _LYING else size)


def look_of(data: bytes) -> int | None:
    """The perceptual hash of a picture, as results have it; None for a blank one, which looks like every other.

    Raises:
        BadPictureError: it is damaged, or it would take too much time or memory.
    """
    picture = opened(data)
    if picture.blank:
        return None
    # Only here, as below.
    import numpy as np  # noqa: PLC0415

    from faces import comparing  # noqa: PLC0415

    return comparing.hash_of(np.asarray(picture.image))


def check(
    result: Opened, target: Opened | None, operation: str, options: Mapping[str, Any], *, person: Opened | None = None,
    own: Thresholds = OURS,
) -> Checked:  # fmt: skip
    """Check a result against its target, or, where that is None, by itself.

    Args:
        result: what a provider made.
        target: the picture that it was made of, of a swap.
        person: the picture of whom it should show, if that is to be looked at; this takes the extra `likeness`.
        operation: the name of the operation that made it.
        options: the job's; a size that was asked for is expected.
        own: the thresholds of the account that made it.
    """
    if result.blank:
        return Checked(tuple(scored(Measured(result.entropy), operation, own)))
    # Only here: OpenCV takes long to load, and most processes never ask.
    import numpy as np  # noqa: PLC0415

    from faces import comparing  # noqa: PLC0415

    made, before = np.asarray(result.image), None if target is None else np.asarray(target.image)
    measured = Measured(result.entropy, size=result.size, expected=_expected(target, operation, options))
    if before is None or target is None or not _same_shape(result.size, target.size):
        measured = replace(measured, presence=comparing.presence_in(made))
    else:
        measured = replace(measured, **asdict(comparing.compare(before, made)))
    if person is not None:
        from faces import likeness  # noqa: PLC0415

        measured = replace(measured, person_distance=likeness.distance(np.asarray(person.image), made))
    hashes = (None if each is None else comparing.hash_of(each) for each in (made, before))
    return Checked(tuple(scored(measured, operation, own)), *hashes)


def _same_shape(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < SHAPE_TOLERANCE


def _expected(target: Opened | None, operation: str, options: Mapping[str, Any]) -> tuple[int, int] | None:
    """The size that the result should have: the target's, as far as the provider takes it, or what was asked for."""
    if target is None:
        asked = options.get("width"), options.get("height")
        return asked if all(type(side) is int and side > 0 for side in asked) else None  # type: ignore[return-value]
    need = operation_called(operation).needs.get("target")
    width, height = target.size
    scale = min(1.0, need.max_side / max(width, height)) if need and need.max_side else 1.0
    return max(1, round(width * scale)), max(1, round(height * scale))
