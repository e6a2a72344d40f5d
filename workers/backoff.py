"""Delays, as pure functions: growing, jittered, capped."""

from __future__ import annotations

import random

#: Spread around a delay, so that a thousand jobs throttled together do not come back together.
JITTER = 0.2


def growing(step: int, *, first: float, cap: float, factor: float = 2.0) -> float:
    """The delay before try number `step` (0 is the first): ``first * factor ** step``, at most `cap` seconds."""
    return min(cap, first * factor ** min(step, 64))


def jittered(seconds: float, spread: float = JITTER) -> float:
    """`seconds`, up to `spread` (a fraction) more or less."""
    return seconds * (1 + random.uniform(-spread, spread))  # noqa: S311 - spreads load, guards nothing
