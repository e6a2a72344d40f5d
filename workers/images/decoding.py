"""Decoding of pictures within bounds of time and memory: what a picture may cost is known before it is decoded.

A picture that is made to be slow or large is refused by its header and its parts. What all decodes of a process take
together is bounded by a budget: a decode for which there is no room waits for others to end.
"""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from PIL import Image

from workers.images.headers import Picture, pillow_image
from workers.images.segments import ARITHMETIC, PROGRESSIVE, SCAN, BadPictureError, Segment, jpeg_segments

MEGABYTE: Final = 1_000_000  # bytes, or pixels
MAX_DECODED_BYTES: Final = (
    300 * MEGABYTE
)  # a 100-megapixel JPEG, which is decoded at a fraction of its size, takes less
BUDGET_BYTES: Final = 600 * MEGABYTE  # of all decodes of a process: two of the largest, or forty of 4 megapixels
MAX_SCANS: Final = 100  # of a JPEG; encoders make about ten
MAX_SCAN_PIXELS: Final = 600 * MEGABYTE  # scans times pixels; a scan takes 2 to 3 ms a megapixel

# Bytes that a pixel takes while Pillow decodes it, as measured; a palette or grey takes one, deep grey two.
_BYTES: Final = {"PNG": 4, "JPEG": 4, "WEBP": 17}
_SMALLER: Final = {"1": 1, "L": 1, "P": 1, "LA": 4, "I;16": 2}
_COEFFICIENT_BYTES: Final = 2  # of each value of a progressive JPEG, which is kept whole until its last scan
_REDUCTIONS: Final = (8, 4, 2)  # what a JPEG decoder can make smaller by itself

_ORIENTATION: Final = 0x0112  # the EXIF tag
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class Budget:
    """Memory that several threads share; one that asks for more than there is waits until others give it back."""

    def __init__(self, total: int) -> None:
        self._total, self._taken = total, 0
        self._changed = threading.Condition()

    @contextmanager
    def taken(self, amount: int) -> Iterator[None]:
        """Take `amount` bytes for as long as the context lasts; one larger than the total is alone."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + amount <= self._total)
            self._taken += amount
        try:
            yield
        finally:
            with self._changed:
                self._taken -= amount
                self._changed.notify_all()


BUDGET: Final = Budget(BUDGET_BYTES)


@contextmanager
def decoded(data: bytes, picture: Picture, *, side: int | None = None) -> Iterator[Image.Image]:
    """Pillow's image of a picture, all of it decoded, within the bounds.

    Args:
        data: a whole picture.
        picture: what `workers.images.headers.inspect` says of it.
        side: pixels on its longer side that are enough. A JPEG is then decoded at 1/2, 1/4 or 1/8 of its size, which
            takes a fraction of the time and memory; it stays as large as this or larger.

    Raises:
        BadPictureError: it is damaged, or it would take too much time or memory.
    """
    amount = _bounded(data, picture, side)
    with BUDGET.taken(amount), pillow_image(io.BytesIO(data)) as image:
        if side is not None:
            image.draft(None, _reduced(picture, side))
        image.load()
        yield image


def _bounded(data: bytes, picture: Picture, side: int | None) -> int:
    """How many bytes the decoding takes.

    Raises:
        BadPictureError: more than is allowed, or too much time.
    """
    pixels = picture.width * picture.height
    amount = pixels * _SMALLER.get(picture.mode, _BYTES[picture.format])
    if picture.format == "WEBP":
        amount = pixels * _BYTES["WEBP"]
    if picture.format == "JPEG":
        if side is not None:
            width, height = _reduced(picture, side)
            amount = width * height * _BYTES["JPEG"]
        amount += _scans(data, pixels)
    if amount > MAX_DECODED_BYTES:
        raise BadPictureError(
            f"it needs about {amount // MEGABYTE:,} MB of memory to decode {picture.width} x {picture.height} pixels; "
            f"at most {MAX_DECODED_BYTES // MEGABYTE:,} MB are allowed"
        )
    return amount


def _reduced(picture: Picture, side: int) -> tuple[int, int]:
    """The smallest size that a JPEG decoder makes by itself whose longer side has at least `side` pixels."""
    longer = max(picture.width, picture.height)
    by = next((by for by in _REDUCTIONS if longer // by >= side), 1)
    return max(1, picture.width // by), max(1, picture.height // by)


def _scans(data: bytes, pixels: int) -> int:
    """How many bytes a JPEG's decoder keeps from scan to scan.

    Raises:
        BadPictureError: there are too many scans for so many pixels, or their coding is too slow.
    """
    frame, scans = None, 0
    for segment in jpeg_segments(data):
        if segment.kind in ARITHMETIC:
            raise BadPictureError("this is a JPEG with arithmetic coding; only Huffman coding is supported")
        if segment.kind == PROGRESSIVE:
            frame = frame or segment
        elif segment.kind == SCAN:
            scans += 1
    most = min(MAX_SCANS, max(1, MAX_SCAN_PIXELS // pixels))
    if scans > most:
        raise BadPictureError(f"the JPEG has {scans:,} scans; at most {most} are allowed for {pixels:,} pixels")
    return 0 if frame is None else int(pixels * _coefficients(data, frame) * _COEFFICIENT_BYTES)


def _coefficients(data: bytes, frame: Segment) -> float:
    """How many values a pixel has: three, or one and a half where colors have half the resolution."""
    try:
        (number,) = struct.unpack_from("B", data, frame.start + 9)
        factors = [divmod(data[frame.start + 11 + 3 * index], 16) for index in range(number)]
        across, down = (max(sides) for sides in zip(*factors, strict=True))
        values: float = sum(wide * high for wide, high in factors) / (across * down)
    except (IndexError, ValueError, ZeroDivisionError, struct.error):
        raise BadPictureError("the JPEG's frame is damaged") from None
    return values


def resizable(image: Image.Image) -> Image.Image:
    """An image whose values can be averaged: palettes cannot, and deep greys would be cut to white later."""
    if image.mode.startswith("I"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")  # 16 bits to 8
    if image.mode in ("1", "P", "PA"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    return image


def shrunk(image: Image.Image, side: int, resampling: Image.Resampling) -> Image.Image:
    """A copy that is at most `side` pixels wide and high; it is not turned upright."""
    small = resizable(image)
    # Whole steps cost a fifth of the same work in one: each value is read once, and by no filter.
    if (step := max(image.size) // side) > 1:
        small = small.reduce(step)
    scale = min(1.0, side / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    return small.resize((width, height), resampling)


def orientation(image: Image.Image) -> int:
    """How EXIF wants a picture turned, from 1 (not at all) to 8; 1 where its EXIF is damaged, which harms no pixel."""
    try:
        found = image.getexif().get(_ORIENTATION)
        return int(found) if found in _TURNS else 1
    except Exception:  # noqa: BLE001 - damaged directories are met with exceptions of every kind
        return 1


def upright(image: Image.Image, turned: int) -> Image.Image:
    """The image that `orientation` says is `turned` in this way, as people shall see it."""
    turn = _TURNS.get(turned)
    return image if turn is None else image.transpose(turn)
