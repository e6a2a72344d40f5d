"""Numbers of things, as people write them."""

from __future__ import annotations

#: The verbs whose form for one thing does not only end in s.
_OF_ONE = {"are": "is", "have": "has"}


def counted(number: int, thing: str, verb: str = "") -> str:
    """``1 job``, ``2 jobs``, ``12,000 jobs wait``; `thing` is one of them, `verb` what several of them do."""
    if number != 1:
        return f"{number:,} {thing}s {verb}".rstrip()
    return f"1 {thing} {_OF_ONE.get(verb, f'{verb}s') if verb else ''}".rstrip()
