"""Values as people paste them: cut at both ends, and searched for characters that nobody sees."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

MAX_PORT = 65_535  # the largest port of TCP

# Unicode's categories of blanks and of characters without a shape: line ends, a byte order mark, zero-width signs.
_BLANK = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})
#: Byte order marks and zero-width signs that precede a file's text.
MARKS = "\ufeff\u200b\u2060"
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PARAMETER = re.compile(r"\w{2,40}=", re.ASCII)
_UNSEEN = _BLANK - {"Zs"} | {"Cs", "Co", "Cn"}


def trimmed(text: str) -> str:
    """`text` without what is blank, or has no shape, at its ends."""
    start, end = 0, len(text)
    while start < end and unicodedata.category(text[start]) in _BLANK:
        start += 1
    while end > start and unicodedata.category(text[end - 1]) in _BLANK:
        end -= 1
    return text[start:end]


def written(data: bytes) -> str:
    """The text of a file as editors and shells write it, with a line feed at the end of each line.

    It is UTF-8, or UTF-16 with its mark, behind any number of marks; lines end in any way.

    Raises:
        UnicodeDecodeError: it is neither.
    """
    text = data.decode("utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8")
    return text.lstrip(MARKS).replace("\r\n", "\n").replace("\r", "\n")


def unseen(text: str) -> str | None:
    """The first character of `text` that has no shape, such as ``character 4 (U+200B)``; None if all have one."""
    return _first(text, lambda sign: unicodedata.category(sign) in _UNSEEN)


def unsendable(text: str) -> str | None:
    """The first character of `text` that no HTTP header carries; None if all are printable ASCII."""
    return _first(text, lambda sign: not " " <= sign <= "~")


_ESCAPED = "within a password, @ is written %40, / %2F, # %23, ? %3F, [ %5B and ] %5D"


def misread(address: str) -> str | None:
    """Why a server's address would be read otherwise than it is meant; None if it would not.

    Nothing of the address is repeated: what stands in the wrong place may be a part of its password.
    """
    scheme, separator, rest = address.partition("://")
    if not separator or not scheme:
        return "is not a valid URL; write SCHEME://USER:PASSWORD@HOST:PORT/NAME"
    # Sentinels are listed as addresses of their own.
    parts = rest.split(";") if scheme.startswith("sentinel") else [rest]
    return next((why for part in parts if (why := _misread(part.partition("://")[2] or part))), None)


def has_lone_percent(address: str) -> bool:
    """Whether a percent sign of `address` begins no escape, so that it was not meant as one."""
    return _LONE_PERCENT.search(address) is not None


def parameters(address: str) -> list[tuple[str, str]]:
    """Names and values behind the ``?`` of `address`.

    Raises:
        ValueError: there is something else. It is not repeated, because it may be a part of a password.
    """
    given = [part for part in address.partition("?")[2].split("&") if part]
    if not all(_PARAMETER.match(part) for part in given):
        raise ValueError("has something behind its ? that is not NAME=VALUE; within a password, ? is written %3F")
    return parse_qsl("&".join(given), keep_blank_values=True)


def _misread(rest: str) -> str | None:
    user, _, after = rest.rpartition("@")
    if any(sign in user for sign in "@/?#[]"):
        return f"has a user name or password that ends too early; {_ESCAPED}"
    if "#" in after:
        return f"has a # that would end it; {_ESCAPED}"
    try:
        hosts = urlsplit(f"//{after}").netloc.split(",")
    except ValueError:
        return f"is not a valid URL: its brackets do not hold an IPv6 address; {_ESCAPED}"
    if not all(_is_port(host.rpartition("]")[2].partition(":")[2]) for host in hosts):
        return f"is not a valid URL: its port must be a number up to {MAX_PORT}; {_ESCAPED}"
    return None


def _is_port(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit() and 0 < int(text[:6]) <= MAX_PORT)


def _first(text: str, is_wrong: Callable[[str], bool]) -> str | None:
    """Where the first wrong character is. Its code alone is shown, because the text may be a secret."""
    for number, sign in enumerate(text, start=1):
        if is_wrong(sign):
            return f"character {number} (U+{ord(sign):04X})"
    return None


def parts(value: object) -> object:
    """What a text lists with commas between, without blanks around each; anything else as it is."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value
