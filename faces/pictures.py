"""Pictures as arrays: decoding, encoding, resizing.

Throughout this package a picture is a `uint8` array of shape (height, width, 3) in RGB order, as Pillow and browsers
see it; only `decode` and `encode` know of OpenCV's BGR. A cutout has a fourth channel, alpha, not premultiplied.
"""

from __future__ import annotations

from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from faces.errors import NotAPictureError

Picture = NDArray[np.uint8]
Points = NDArray[np.float32]  # (n, 2) or (n, 3): x, y and, for a mesh, depth, in pixels
Weights = NDArray[np.float32]  # (height, width), 0 to 1
Format = Literal["jpeg", "png", "webp"]

JPEG_QUALITY = 94  # of 100; with colour at full resolution, what a swap left alone keeps 40 dB PSNR in the file

RGB = 3
RGBA = 4


def decode(data: bytes) -> Picture:
    """Return the picture in `data`, turned upright by its EXIF orientation, without alpha.

    Raises NotAPictureError for anything OpenCV cannot decode.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        raise NotAPictureError(f"{len(data)} bytes are not a picture that can be decoded")
    return as_picture(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB))


def encode(picture: Picture, form: Format = "jpeg", quality: int = JPEG_QUALITY) -> bytes:
    """Return `picture` as the bytes of a file; `quality` is 1 to 100 and means nothing to PNG, which is lossless.

    JPEG has no alpha: flatten a cutout first, or a ValueError says so.
    """
    channels = picture.shape[2]
    if form == "jpeg" and channels == RGBA:
        raise ValueError("JPEG cannot hold a transparent picture; flatten it onto a colour or use PNG or WebP")
    parameters = {
        "jpeg": [
            *(cv2.IMWRITE_JPEG_QUALITY, quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ],
        "webp": [cv2.IMWRITE_WEBP_QUALITY, quality],
        "png": [cv2.IMWRITE_PNG_COMPRESSION, 3],  # the fourth-fastest of ten: the sandbox is bound by CPU, not by disk
    }[form]
    order = cv2.COLOR_RGBA2BGRA if channels == RGBA else cv2.COLOR_RGB2BGR
    done, data = cv2.imencode(f".{form}", cv2.cvtColor(picture, order), parameters)
    if not done:
        raise ValueError(f"OpenCV cannot encode a picture of shape {picture.shape} as {form}")
    return data.tobytes()


def resize(picture: Picture, width: int, height: int) -> Picture:
    """Return `picture` at exactly `width` x `height` pixels, averaged when it shrinks and smoothed when it grows."""
    shrinks = width * height < picture.shape[1] * picture.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return as_picture(cv2.resize(picture, (width, height), interpolation=method))


def within(picture: Picture, side: int) -> Picture:
    """Return `picture` with `side` pixels along its longer side, or as it is if it has no more."""
    scale = side / max(picture.shape[:2])
    if scale >= 1:
        return picture
    height, width = (max(1, round(length * scale)) for length in picture.shape[:2])
    return resize(picture, width, height)


def flatten(cutout: Picture, colour: str) -> Picture:
    """Return the RGBA `cutout` laid over a plain `colour`, given as 3 or 6 hex digits with or without a leading '#'.

    Raises ValueError for any other colour.
    """
    digits = colour.removeprefix("#")
    if len(digits) == RGB:
        digits = "".join(digit * 2 for digit in digits)
    try:
        ground = np.array(list(bytes.fromhex(digits)), np.float32)
    except ValueError:
        ground = np.empty(0, np.float32)
    if len(digits) != 2 * RGB or ground.size != RGB:
        raise ValueError(f"{colour!r} is not a colour of 3 or 6 hex digits")
    alpha = cutout[:, :, 3:].astype(np.float32) / 255
    return as_picture(cutout[:, :, :RGB] * alpha + ground * (1 - alpha))


def as_picture(values: NDArray[Any]) -> Picture:
    """Return `values` rounded and limited to 0..255 as a picture; a picture passes through as it is."""
    if values.dtype != np.uint8:
        values = np.clip(np.rint(values), 0, 255)
    return values.astype(np.uint8, copy=False)
