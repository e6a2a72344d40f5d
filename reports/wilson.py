"""Wilson's interval: between which shares the true one lies, of what a sample showed."""

from __future__ import annotations

from math import sqrt

Z = 1.959964  # standard deviations on both sides of the mean that hold 95 % of a normal distribution


def interval(hits: int, tries: int) -> tuple[float, float]:
    """The share of `hits` in all, low and high, with 95 % confidence (E. B. Wilson, 1927); of no tries, 0 to 1."""
    if not tries:
        return 0.0, 1.0
    share, square = hits / tries, Z * Z
    middle = share + square / (2 * tries)
    reach = Z * sqrt(share * (1 - share) / tries + square / (4 * tries * tries))
    scale = 1 + square / tries
    return max(0.0, (middle - reach) / scale), min(1.0, (middle + reach) / scale)
