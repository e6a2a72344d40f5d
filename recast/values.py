"""Values as people paste them: cut at both ends, and searched for characters that nobody sees."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

# Unicode's categories of blanks and of characters without a shape: line ends, a byte order mark, zero-width signs.
_BLANK = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
_UNSEEN = _BLANK - {"Zs"} | {"Cs", "Co", "Cn"}


def trimmed(text: str) -> str:
    """`text` without what is blank, or has no shape, at its ends."""
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start]) in _BLANK:
        start += 1
    while end > start and unicodedata.category(text[end - 1]) in _BLANK:
        end -= 1
    return text[start:end]


def unseen(text: str) -> str | None:
    """The first character of `text` that has no shape, such as ``character 4 (U+200B)``; None if all have one."""
    return _first(text, lambda sign: unicodedata.category(sign) in _UNSEEN)


def unsendable(text: str) -> str | None:
    """The first character of `text` that no HTTP header carries; None if all are printable ASCII."""
    return _first(text, lambda sign: not " " <= sign <= "~")


def _first(text: str, is_wrong: Callable[[str], bool]) -> str | None:
    """Where the first wrong character is. Its code alone is shown, because the text may be a secret."""
    for number, sign in enumerate(text, start=1):
        if is_wrong(sign):
            return f"character {number} (U+{ord(sign):04X})"
    return None
