"""Portraits "generated" from a reference: its face on a stock portrait that suits the prompt.

What the provider sandbox answers generation requests with: a real picture of the right size with the right person on
it, different for each seed and the same for the same request.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np

from faces.finding import Face, pick
from faces.matting import person_matte
from faces.pictures import Picture, as_picture, decode, resize
from faces.swapping import transfer
from faces.warping import STOCK

HEADROOM = (2.4, 3.0)  # the picture's height in heights of the face: from close to head and shoulders
MIN_HEIGHT = 1.7  # in heights of the face: crown and chin are not cut off
MIN_WIDTH = 1.6  # in widths of the face: hair and ears are not cut off
MIDDLE = (0.5, 0.43)  # where in the picture the face's middle is
SHIFT = (0.05, 0.03)  # how far from there a seed may move it, in widths and heights of the picture
GAIN = 0.08  # how much brighter or darker a seed may make the picture
TINT = 0.12  # how much of each colour a seed may add to or take from the background
BACKDROP_SIDE = 6  # pixels of a stock portrait that, enlarged, fill a frame it is too small for: a blur of its colours
MAX_ENLARGE = 2.0  # of a stock portrait before the swap: further pixels carry no detail and cost time


@dataclass(frozen=True, slots=True)
class _Stock:
    file: str
    words: frozenset[str]  # words in a prompt that ask for it


STOCKS = (
    _Stock("astronaut.jpg", frozenset({"astronaut", "cosmonaut", "nasa", "pilot", "rocket", "space", "spacesuit"})),
    _Stock(
        "officer.jpg", frozenset({"admiral", "business", "captain", "navy", "officer", "sailor", "suit", "uniform"})
    ),
)


def portrait(reference: Picture, *, prompt: str, width: int, height: int, seed: int) -> Picture:
    """Return a portrait of the largest face in `reference`, exactly `width` x `height` pixels.

    The stock portrait is the one whose words the prompt uses, or any, by the prompt's hash. Framing, brightness and the
    background's tint follow from prompt and seed alone.

    Raises NoFaceError if the reference shows no face, ValueError for a size that is not positive.
    """
    if width < 1 or height < 1:
        raise ValueError(f"a portrait of {width} x {height} pixels is impossible")
    chance = np.random.default_rng(int.from_bytes(hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()))
    face = pick(reference, None, "reference")
    framed = _framed(*_opened(_choose(prompt).file), width, height, chance)
    framed_face = pick(framed, None, "stock")
    swapped = transfer(reference, face, framed, framed_face)
    return resize(_varied(swapped, framed_face, chance), width, height)


def _choose(prompt: str) -> _Stock:
    words = set(re.findall(r"[a-z]+", prompt.lower()))
    wanted = [stock for stock in STOCKS if stock.words & words]
    among = wanted or STOCKS
    return among[hashlib.sha256(prompt.encode()).digest()[0] % len(among)]


@cache
def _opened(file: str) -> tuple[Picture, Face]:
    picture = decode((STOCK / file).read_bytes())
    return picture, pick(picture, None, "stock")


def _framed(stock: Picture, face: Face, width: int, height: int, chance: np.random.Generator) -> Picture:
    """Return the part of `stock` around `face` in the shape of `width` x `height`, enlarged towards that size.

    A frame longer than the stock portrait can fill shows a blurred copy of it on both sides.
    """
    height_of, width_of = stock.shape[:2]
    tall = min(chance.uniform(*HEADROOM) * face.height, height_of, width_of * height / width)
    tall = max(tall, MIN_HEIGHT * face.height, MIN_WIDTH * face.width * height / width)
    wide = tall * width / height
    shift = chance.uniform(-1, 1, 2) * SHIFT
    corner = np.array(face.middle) - (np.array(MIDDLE) + shift) * (wide, tall)
    # Moved back into the stock portrait, or centred on it where the frame is the longer.
    spare = np.array([width_of - wide, height_of - tall])
    left, top = np.where(spare >= 0, np.clip(corner, 0, np.maximum(spare, 0)), spare / 2)

    scale = float(np.clip(height / tall, 1, MAX_ENLARGE))  # never smaller: the swap needs the face's pixels
    size = max(1, round(wide * scale)), max(1, round(tall * scale))
    backdrop = resize(resize(stock, BACKDROP_SIDE, BACKDROP_SIDE), *size)
    onto = np.array([[scale, 0, -left * scale], [0, scale, -top * scale]])
    return as_picture(
        cv2.warpAffine(stock, onto, size, backdrop, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_TRANSPARENT)
    )


def _varied(picture: Picture, face: Face, chance: np.random.Generator) -> Picture:
    """Return `picture` a little brighter or darker, with another tint behind the person with `face`."""
    behind = 1 - person_matte(picture, face)[:, :, None]
    light = 1 + chance.uniform(-GAIN, GAIN)
    tint = chance.uniform(-TINT, TINT, 3).astype(np.float32)
    return as_picture(picture * (light * (1 + behind * tint)))
