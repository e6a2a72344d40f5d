"""Back-off: growing, capped, jittered delays between tries."""

from __future__ import annotations

import random
from dataclasses import dataclass

#: Spread around a delay, so that a thousand jobs throttled together do not come back together.
JITTER = 0.2

_MAX_STEP = 64  # every delay has reached its cap by then, and no float overflows


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential delays: ``first * factor ** step`` seconds, at most `cap`, and `jitter` (a fraction) more or less."""

    first: float
    cap: float
    factor: float = 2.0
    jitter: float = JITTER

    def delay(self, step: int) -> float:
        """Seconds before the try after `step` tries that failed before this one; 0 is the first delay."""
        return jittered(min(self.cap, self.first * self.factor ** min(step, _MAX_STEP)), self.jitter)


def jittered(seconds: float, jitter: float = JITTER) -> float:
    """`seconds`, up to `jitter` (a fraction) more or less."""
    return seconds * (1 + random.uniform(-jitter, jitter))  # noqa: S311 - spreads load, guards nothing
