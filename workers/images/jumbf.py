"""Boxes of a C2PA manifest store (JUMBF), and the digital source type that its actions state (CBOR).

Lengths come from outside. Boxes are walked by offsets, without a copy; what is read as CBOR is short. So a store takes
the time of a few thousand boxes at most, whatever it says of itself.

Sources: ISO 19566-5 (boxes), C2PA specification 2.2 (manifest store, actions assertion), RFC 8949 (CBOR).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final, NamedTuple

#: The type of a manifest store, in its description box.
STORE_TYPE: Final = bytes.fromhex("6332706100110010800000aa00389b71")
STORE_BYTES: Final = 32  # that say whether a box is a store: its header, its description's, and that one's type
HEADER_BYTES: Final = 8  # of a box: its length, which counts them, and its kind
MAX_MANIFESTS: Final = 256  # of a store: one for each time that a file was signed, and for each picture in it
MAX_ASSERTIONS: Final = 1_000  # of a manifest; c2pa-rs writes fewer than 20
MAX_CONTENTS: Final = 16  # boxes of an actions assertion; it has a description and one of CBOR
MAX_ACTIONS_BYTES: Final = 64 * 1024  # of all actions assertions; reading so much as CBOR takes 0.2 s at worst
MAX_TERM: Final = 200  # characters of a source type; IPTC's longest has 84
MAX_DEPTH: Final = 16  # of CBOR in CBOR; actions are 6 deep

_SUPERBOX, _DESCRIPTION, _CBOR = b"jumb", b"jumd", b"cbor"
_LABELED: Final = 0x02  # a description's toggle: a label follows
_ASSERTIONS, _ACTIONS = b"c2pa.assertions", b"c2pa.actions"
_BYTES: Final = 2  # the major type of bytes in CBOR
#: In the order of preference: terms that say that a model had a part in it.
_MODELS: Final = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")


class BadBoxesError(ValueError):
    """The boxes are cut short, do not fit into each other, or are none."""


class Box(NamedTuple):
    """One box: its kind, and where its contents lie."""

    kind: bytes
    start: int
    end: int


def claims_to_be_a_store(beginning: bytes) -> bool:
    """Whether a verifier takes a box that begins like this for a store, whatever else is wrong with it."""
    return beginning[16:20] == STORE_TYPE[:4]


def is_store(beginning: bytes | memoryview) -> bool:
    """Whether a box that begins like this is a manifest store."""
    return (
        bytes(beginning[4:8]) == _SUPERBOX
        and bytes(beginning[12:16]) == _DESCRIPTION
        and bytes(beginning[16:32]) == STORE_TYPE
    )


def manifests(store: memoryview) -> list[Box]:
    """The manifests of a store, the active one last.

    Raises:
        BadBoxesError: it does not begin with a whole store, with manifests that fill it.
    """
    outer = next(_boxes(store, 0, len(store), 1))  # a signer may have reserved more room than it took
    first, *found = _boxes(store, outer.start, outer.end, MAX_MANIFESTS)
    if first.kind != _DESCRIPTION or not found or any(box.kind != _SUPERBOX for box in found):
        raise BadBoxesError
    return found


def source_type(store: memoryview, manifest: Box) -> str | None:
    """The digital source type that the actions of a manifest state; None where none is stated, or none can be read."""
    try:
        stated = list(_stated(store, manifest))
    except BadBoxesError:
        return None
    by_model = [term for word in _MODELS for term in stated if term.rpartition("/")[2] == word]
    return by_model[0] if by_model else stated[-1] if stated else None


def _stated(store: memoryview, manifest: Box) -> Iterator[str]:
    assertions, left = next(_labeled(store, manifest, _ASSERTIONS), None), MAX_ACTIONS_BYTES
    for actions in _labeled(store, assertions, _ACTIONS) if assertions is not None else ():
        for box in _boxes(store, actions.start, actions.end, MAX_CONTENTS):
            if box.kind == _CBOR and box.end - box.start <= left:
                left -= box.end - box.start
                yield from _terms(_Cbor(bytes(store[box.start : box.end])).item())


def _terms(assertion: Any) -> Iterator[str]:
    listed = assertion.get("actions") if isinstance(assertion, Mapping) else None
    for action in listed if isinstance(listed, list) else ():
        term = action.get("digitalSourceType") if isinstance(action, Mapping) else None
        if isinstance(term, str) and len(term) <= MAX_TERM and term.isascii() and term.isprintable():
            yield term


def _labeled(store: memoryview, parent: Box, label: bytes) -> Iterator[Box]:
    """The superboxes in `parent` whose label is `label`, or begins with it and a dot or underscore."""
    for box in _boxes(store, parent.start, parent.end, MAX_ASSERTIONS):
        if box.kind == _SUPERBOX:
            found = _label(store, box)
            if found.startswith(label) and found[len(label) : len(label) + 1] in (b"", b".", b"_"):
                yield box


def _label(store: memoryview, box: Box) -> bytes:
    described = next(_boxes(store, box.start, box.end, MAX_ASSERTIONS), None)
    if described is None or described.kind != _DESCRIPTION or described.end - described.start < len(STORE_TYPE) + 1:
        raise BadBoxesError
    toggles = store[described.start + len(STORE_TYPE)]
    text = bytes(store[described.start + len(STORE_TYPE) + 1 : min(described.end, described.start + MAX_TERM)])
    return text.partition(b"\0")[0] if toggles & _LABELED else b""


def _boxes(data: memoryview, start: int, end: int, most: int) -> Iterator[Box]:
    """The boxes that fill `data` from `start` to `end`, `most` at most."""
    for _ in range(most):
        if end - start < HEADER_BYTES:
            raise BadBoxesError
        length, kind = struct.unpack_from(">I4s", data, start)
        body = start + HEADER_BYTES
        if length == 1 and end - start >= HEADER_BYTES + 8:  # the length is written in the eight bytes that follow
            length, body = struct.unpack_from(">Q", data, body)[0], body + 8
        if not body - start <= length <= end - start:
            raise BadBoxesError
        yield Box(kind, body, start + length)
        start += length
        if start == end:
            return
    raise BadBoxesError


class _Cbor:
    """A reader of CBOR in bytes, which takes each byte once."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def item(self, depth: int = 0) -> Any:
        """The next item; a number, a time or a simple value is not told apart from others, and is its argument.

        Raises:
            BadBoxesError: it is cut short, or nested too deep.
        """
        if depth > MAX_DEPTH:
            raise BadBoxesError
        major, argument = self._head()
        match major:
            case 2 | 3:  # bytes, text
                return self._text(major, argument, depth)
            case 4:  # a list
                return list(self._items(argument, depth))
            case 5:  # a map
                return dict(self._pairs(argument, depth))
            case 6:  # a tag, which says something of the next item
                return self.item(depth + 1)
            case _:
                return argument

    def _head(self) -> tuple[int, int | None]:
        """The kind of the next item and its argument; None where its length is open."""
        first = self._take(1)[0]
        major, short = first >> 5, first & 31
        if short < 24:  # noqa: PLR2004 - up to here it is the argument itself
            return major, short
        if short == 31:  # noqa: PLR2004 - open, or the end of what is open
            return major, None
        if short > 27:  # noqa: PLR2004 - not assigned
            raise BadBoxesError
        return major, int.from_bytes(self._take(1 << short - 24), "big")

    def _text(self, major: int, length: int | None, depth: int) -> bytes | str:
        if length is None:
            taken = b"".join(part for part in self._open(depth) if isinstance(part, bytes))
        else:
            taken = self._take(length)
        return taken if major == _BYTES else taken.decode("utf-8", "replace")

    def _items(self, number: int | None, depth: int) -> Iterator[Any]:
        if number is None:
            yield from self._open(depth)
        else:
            for _ in range(number):  # each takes a byte at least, or there are none left
                yield self.item(depth + 1)

    def _pairs(self, number: int | None, depth: int) -> Iterator[tuple[str, Any]]:
        items = self._items(None if number is None else 2 * number, depth)
        for key in items:
            yield str(key), next(items, None)

    def _open(self, depth: int) -> Iterator[Any]:
        while self._data[self._at : self._at + 1] != b"\xff":
            yield self.item(depth + 1)
        self._at += 1

    def _take(self, number: int) -> bytes:
        taken = self._data[self._at : self._at + number]
        if len(taken) < number:
            raise BadBoxesError
        self._at += number
        return taken
