"""Numbers of things, as people write them."""

from __future__ import annotations


def counted(number: int, thing: str) -> str:
    """``1 job``, ``2 jobs``, ``12,000 jobs``; `thing` is one of them."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"
