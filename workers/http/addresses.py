"""Addresses as people write them: one form for each, and a refusal of what no part of Recast can open.

A catalog's cell, an option, a producer's argument and a setting all pass through here before anything is stored or
paid. Blanks and line ends around an address are cut, and its scheme is written in lower case. Anything else that would
make it another address, or no address, is refused: what a provider receives is exactly what a person wrote.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from urllib.parse import quote

from recast.values import MAX_PORT

WEB = frozenset({"https", "http"})
#: Schemes of pictures.
PICTURES = WEB | {"s3", "file"}
MAX_HOST, MAX_HOST_PART = 253, 63  # characters of a host's name (RFC 1035)
SHOWN = 200  # characters of an address in a message

# Signs that take no room, or look like a blank, although `str.isprintable` lets them through.
_UNSEEN = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
_SELECTORS = range(0xFE00, 0xFE10)  # a picture's emoji may have them in its path; a scheme and a host may not

# A name that everybody takes for the beginning of an address, however its colon and slashes are written.
_MEANT = re.compile(r"\W*(?:https?|s3|file|ftps?|data)\s*[:;]|https?//", re.IGNORECASE)
# Also as Chinese text has them.
_SEPARATORS = re.compile(r"[\s,;|\uff0c\u3001\uff1b\uff5c]+")
_BEGINS = re.compile(r"[\"'<(\[]?[a-z][a-z0-9+.-]{1,9}:/", re.IGNORECASE)
_ENDS = re.compile(r"\.(?:jpe?g|png|webp)(?:\?.*)?[\"'>)\]]?$", re.IGNORECASE)
_GLUED = re.compile(r"(?:(?<=\.jpg|\.png)|(?<=\.jpeg|\.webp))(?=https?://)", re.IGNORECASE)
# In a query, the sign before it would begin a parameter or be a blank.
_JOINED = re.compile(r"[&+](?=https?://)", re.IGNORECASE)
# What nearly every address is like; nothing in it can be wrong if all of it is seen, and a million are read in seconds.
_USUAL = re.compile(
    r"https?://(?!https?[:/])(?=[a-z0-9])(?![^/?]*xn--)(?![^/?]{254})(?:[a-z0-9-]{1,63}\.)*[a-z0-9-]{1,63}"
    r"(?::[1-9][0-9]{0,3})?(?:[/?][\w./~%?=&@+#-]*)?"
)
_HOST = re.compile(r"(?:[^\[\]/?#\\]*@)?(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:/?#\\@]*)(?::(?P<port>[^/?#]*))?")
_USER = re.compile(r"//[^/?#\s]*@")  # a user name and a password, which messages do not repeat
_LIKE_A_HOST = re.compile(
    r"//[^/]|www\.|(?:[a-z0-9-]+\.)+(?:com|net|org|io|cn|de|eu|info|app|ai|co)[:/]", re.IGNORECASE
)


class AddressError(ValueError):
    """An address, or what was meant as one, cannot be used; the message says why and what to write."""


def visible(text: str) -> str:
    """`text` in quotes, with every sign that a person cannot see written as an escape."""
    named = _USER.sub("//...@", text)
    cut = named if len(named) <= SHOWN else f"{named[:SHOWN]}..."
    shown = "".join(_escaped(sign) if _is_unseen(sign) else sign for sign in cut)
    return f"'{shown}'" if "'" not in shown else f'"{shown}"'


def one_form(text: str, schemes: Collection[str] = PICTURES) -> str:
    """An address or a path without blanks around it; an address with its scheme in lower case, and usable.

    Raises:
        AddressError: it is, or was meant as, an address that cannot be used.
    """
    text = text.strip()
    if schemes is PICTURES and _USUAL.fullmatch(text) and (text.isascii() or _UNSEEN.isdisjoint(text)):
        return text
    plain = _plain(text)
    if "://" not in plain and not _MEANT.match(plain):
        return text
    _refuse_several(text)
    scheme, separator, rest = text.partition("://")
    _refuse_scheme(text, scheme if separator else "", schemes)
    scheme = scheme.lower()
    if scheme == "file":
        return f"{scheme}://{rest}"  # nothing in it is quoted, so a name can hold anything
    _refuse_unseen(text, rest)
    if scheme in WEB:
        _refuse_blanks(text, rest)
        _refuse_host(text, rest)
    elif not rest.partition("/")[0].strip():
        raise AddressError(f"{visible(text)} names no bucket; write s3://BUCKET/KEY")
    return f"{scheme}://{rest}"


def web_address(text: str) -> str:
    """An http(s) address in its one form.

    Raises:
        AddressError: it is none, or cannot be used.
    """
    found = one_form(text, WEB)
    if "://" not in found:
        raise AddressError(f"{visible(found)} must begin with https:// or http://")
    return found


def advice_for(path: str) -> str:
    """What to add to the message that there is no file `path`: what it probably means, or nothing."""
    if len(pieces := _split(path)) > 1:
        return (
            f"; it names {len(pieces)} pictures, {' and '.join(map(visible, pieces[:3]))}: give each a row of its own"
        )
    if "\\" in path:
        slashed = path.replace("\\", "/")
        return f"; folders are separated by slashes, and there are no drives: {visible(slashed)}"
    if _LIKE_A_HOST.match(path):
        return f"; an address begins with its scheme: {visible('https://' + path.lstrip('/'))}"
    return ""


def is_schemeless(path: str) -> bool:
    """Whether a relative path begins like the host of an address whose scheme was left out."""
    return path.startswith("//") or path.lower().startswith("www.")


def _plain(text: str) -> str:
    """`text` as it looks: wide signs as the plain ones, without those that cannot be seen."""
    if _is_all_seen(text) and unicodedata.is_normalized("NFKC", text):
        return text
    return "".join(sign for sign in unicodedata.normalize("NFKC", text) if sign == " " or not _is_unseen(sign))


def _refuse_several(text: str) -> None:
    if len(pieces := _split(text)) > 1:
        listed = " and ".join(map(visible, pieces[:3]))
        more = f" and {len(pieces) - 3} more" if len(pieces) > 3 else ""  # noqa: PLR2004
        raise AddressError(
            f"names {len(pieces)} addresses: {listed}{more}; give each a row of its own"
            " (within one address, write a comma as %2C)"
        )


def _split(text: str) -> list[str]:
    """The addresses or pictures that one text names; a comma alone does not separate, as addresses may have some."""
    path, question, query = text.partition("?")
    parted = _JOINED.sub(" ", path) + question + query
    pieces = [piece for piece in _SEPARATORS.split(_GLUED.sub(" ", parted)) if piece]
    if any(map(_BEGINS.match, pieces[1:])) or sum(1 for piece in pieces if _ENDS.search(piece)) > 1:
        return [piece for piece in pieces if _BEGINS.match(piece) or _ENDS.search(piece)]
    return [text]


def _refuse_scheme(text: str, scheme: str, schemes: Collection[str]) -> None:
    if scheme.lower() in schemes and scheme.isascii():
        return
    allowed = "a path, https:// or s3://" if "s3" in schemes else "https:// or http://"
    if not scheme:
        raise AddressError(f"{visible(text)} does not begin as an address must; allowed: {allowed}")
    if _plain(scheme).strip().lower() in schemes:
        raise AddressError(
            f"{visible(text)} has a blank, a sign that cannot be seen or a wide one before ://; remove it"
        )
    raise AddressError(f"{visible(text)} has the scheme {visible(scheme)}; allowed: {allowed}")


def _refuse_unseen(text: str, rest: str) -> None:
    for sign in "" if _is_all_seen(rest) else rest:
        if _is_unseen(sign) and ord(sign) not in _SELECTORS:
            escape = quote(sign, errors="replace")
            name = "a line end or tab" if sign in "\r\n\t\v\f" else f"a sign that cannot be seen, {visible(sign)}"
            raise AddressError(f"{visible(text)} contains {name}; remove it (or, if it is meant, write {escape})")


def _refuse_blanks(text: str, rest: str) -> None:
    if " " in rest:
        escaped = text.replace(" ", "%20")
        raise AddressError(f"{visible(text)} contains a blank; write {visible(escaped)}")
    if (last := rest[-1:]) in {",", ";", "|"}:
        raise AddressError(f"{visible(text)} ends with {last!r}; remove it (or, if it is meant, write {quote(last)})")


def _refuse_host(text: str, rest: str) -> None:
    found = _HOST.match(rest)
    host, port = (found["host"], found["port"]) if found else ("", None)
    ends = found.end() if found else 0
    if host.lower() in {"http", "https", "s3", "file", "ftp"} and rest[len(host) :].startswith((":/", "/")):
        raise AddressError(f"{visible(text)} has two schemes; write one")
    if not host.strip(".") or any(_is_unseen(sign) or ord(sign) in _SELECTORS for sign in host):
        raise AddressError(f"{visible(text)} names no host; write https://HOST/PATH")
    if rest[ends : ends + 1] not in {"", "/", "?", "#"} or re.search(r"[\"'<>\\^`{|}*!$&()+,;=]", host):
        raise AddressError(f"the host of {visible(text)} is not valid; write https://HOST/PATH")
    if not host.startswith("[") and not _can_be_found(host):
        raise AddressError(f"the host of {visible(text)} is not valid: no name has such parts; write https://HOST/PATH")
    if port is not None and not (port.isascii() and port.isdigit() and 0 < int(port) <= MAX_PORT):
        raise AddressError(f"{visible(text)} has the port {visible(port)}; allowed: 1 to {MAX_PORT}")


def _can_be_found(host: str) -> bool:
    """Whether there can be a host of this name: with parts of 1 to 63 characters, and 253 in all (RFC 1035)."""
    name = host.removesuffix(".")
    if not name.isascii() or "xn--" in name:
        # Few have such names, and the tables for them take a while to load.
        import idna  # noqa: PLC0415

        try:
            name = idna.encode(name.lower()).decode()
        except idna.IDNAError:
            return False
    return len(name) <= MAX_HOST and all(0 < len(part) <= MAX_HOST_PART for part in name.split("."))


def _is_all_seen(text: str) -> bool:
    """Whether each sign can be seen: each row of a catalog has two pictures, and most need no look sign by sign."""
    return text.isprintable() and _UNSEEN.isdisjoint(text)


def _is_unseen(sign: str) -> bool:
    return sign != " " and (not sign.isprintable() or sign in _UNSEEN)


def _escaped(sign: str) -> str:
    return ascii(sign)[1:-1]
