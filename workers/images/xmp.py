"""XMP packets: the statement that a model made a picture, put into what a file says of itself already.

A packet comes from outside and may be made to be slow to read. So it is read by an XML parser, once, and only up to
`MAX_PACKET_BYTES`; no pattern is searched for in it that could look at a byte more than a few times.

Source: IPTC Photo Metadata Standard (Iptc4xmpExt:DigitalSourceType).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from xml.parsers import expat

from workers.images.segments import spliced

MAX_PACKET_BYTES: Final = 256 * 1024  # editors write up to 100 KiB of history; reading so much takes 30 ms

ELSEWHERE: Final = b"provenance"  # of Dublin Core's terms: the address of a C2PA manifest that is not in the file
_WORD: Final = "DigitalSourceType"
# A start tag, which a well-formed document is known to have at this place, and its attributes one after another.
_TAG: Final = re.compile(rb"""<[^\s/>]++(?:[^>"']|"[^"]*+"|'[^']*+')*+>""")
_ATTRIBUTE: Final = re.compile(rb"""\s++([^\s=/>"']++)\s*+=\s*+(?:"[^"]*+"|'[^']*+')""")


class _NotPlainError(Exception):
    """A document type, which may define entities without end, makes a packet one that we do not read."""


@dataclass(slots=True)
class _Found:
    """What a packet holds that concerns us, by offsets in bytes."""

    #: What states the source type already: elements and attributes.
    older: list[tuple[int, int]] = field(default_factory=list)
    #: Where each RDF element closes.
    closings: list[int] = field(default_factory=list)


def with_source_type(old: bytes | None, source_type: str, longest: int = MAX_PACKET_BYTES) -> bytes:
    """A packet that states `source_type`: `old` with the statement in it, or one with nothing else.

    Args:
        old: the packet that the picture has. One that cannot be added to (no XML, UTF-16, a document type, longer than
            `MAX_PACKET_BYTES`) is replaced.
        source_type: a term of IPTC's vocabulary.
        longest: the most bytes that the new packet may have.
    """
    statement = (
        '<rdf:Description xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" rdf:about=""'
        ' xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/"'
        f' Iptc4xmpExt:DigitalSourceType="{source_type}"/>'
    ).encode()
    merged = _merged(old.rstrip(b"\0 \t\r\n"), statement) if old and len(old) <= MAX_PACKET_BYTES else None
    if merged is not None and len(merged) <= longest:
        return merged
    return (
        b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">' + statement + b"</rdf:RDF></x:xmpmeta>"
        b'<?xpacket end="r"?>'
    )


def stated(packet: bytes) -> str | None:
    """The source type that a packet states last; None where it states none, or is not plain XML."""
    return next(reversed(_values(packet, _WORD)), None)


def manifest_elsewhere(packet: bytes) -> str | None:
    """The address at which a packet says that the file's C2PA manifest is kept; None where it names none."""
    return next(
        (value for value in _values(packet, ELSEWHERE.decode()) if value.startswith(("http://", "https://"))), None
    )


def _values(packet: bytes, word: str) -> list[str]:
    """The values of attributes and elements whose name is `word` with a prefix; none where it is not plain XML."""
    found, inside, parser = list[str](), list[list[str]](), expat.ParserCreate()

    def starts(name: str, attributes: dict[str, str]) -> None:
        found.extend(value for attribute, value in attributes.items() if _is_word(attribute, word))
        if _is_word(name, word):
            inside.append([])
            found.extend(value for attribute, value in attributes.items() if attribute.endswith(":resource"))

    def ends(name: str) -> None:
        if _is_word(name, word):
            found.append("".join(inside.pop()).strip())

    def text(data: str) -> None:
        # Each line comes by itself: to add them up one by one takes time that grows with the square of their number.
        if inside:
            inside[-1].append(data)

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = starts, ends, text
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(packet[:MAX_PACKET_BYTES].rstrip(b"\0 \t\r\n"), True)
    except (expat.ExpatError, ValueError, _NotPlainError):
        return []
    return [value for value in found if value]


def _refuse(*_: object) -> None:
    raise _NotPlainError


def _merged(old: bytes, statement: bytes) -> bytes | None:
    """`old` with `statement` in its only RDF element instead of older ones; None where that makes no XML."""
    found = _read(old)
    if found is None or len(found.closings) != 1 or not old.startswith(b"</", found.closings[0]):
        return None
    merged = spliced(old, found.closings[0], statement, found.older)
    again = _read(merged)
    return merged if again is not None and len(again.older) == 1 else None


def _read(packet: bytes) -> _Found | None:
    """What `packet` holds; None where it is not plain XML."""
    found, open_words, parser = _Found(), list[tuple[int, int | None]](), expat.ParserCreate()

    def starts(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        if _is_word(name):
            tag = _TAG.match(packet, at)
            # The parser does not say where an empty element ends.
            open_words.append((at, tag.end() if tag and tag[0].endswith(b"/>") else None))
        elif not open_words and any(map(_is_word, attributes)):
            found.older += _attributes(packet, at)

    def ends(name: str) -> None:
        at = parser.CurrentByteIndex
        if _is_word(name):
            start, end = open_words.pop()
            if not open_words:
                found.older.append((start, end or packet.index(b">", at) + 1))
        elif name.rpartition(":")[2] == "RDF":
            found.closings.append(at)

    parser.StartElementHandler, parser.EndElementHandler = starts, ends
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(packet, True)
    except (expat.ExpatError, ValueError, _NotPlainError):
        return None
    return found


def _attributes(packet: bytes, at: int) -> Iterator[tuple[int, int]]:
    """Where the start tag at `at` states a source type."""
    tag = _TAG.match(packet, at)
    for attribute in _ATTRIBUTE.finditer(packet, at, tag.end() if tag else at):
        if _is_word(attribute[1].decode("utf-8", "replace")):
            yield attribute.span()


def _is_word(name: str, word: str = _WORD) -> bool:
    prefix, colon, local = name.rpartition(":")
    return bool(prefix and colon) and local == word
