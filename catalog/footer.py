"""The footer of a Parquet file, as far as it says how much the file unpacks to.

pyarrow ends the whole process where a footer contradicts itself, as soon as it is asked for a column of a row group;
its reader of rows reports the same as an error. So what has to be known before rows are read is read here: Thrift's
compact protocol, of which everything else is passed over.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

_TAIL_BYTES = 8  # at the end: the footer's length and PAR1
# Types of the compact protocol; a truth value is in its field's type.
_YES, _NO, _BYTE, _SHORT, _INT, _LONG, _DOUBLE, _TEXT, _LIST, _SET, _MAP, _STRUCT = range(1, 13)
_FULL = 15  # a size or a step that is written apart
# Fields by their numbers in parquet.thrift.
_ROW_GROUPS, _COLUMNS, _ROWS, _META_DATA, _VALUES, _UNPACKED = 4, 1, 3, 3, 5, 6


class Chunk(NamedTuple):
    """A column in a row group: its values, and the bytes that its pages unpack to."""

    values: int
    unpacked: int


@dataclass
class RowGroup:
    """What a footer says of some rows."""

    rows: int = 0
    chunks: list[Chunk] = field(default_factory=list)


def row_groups(file: BinaryIO) -> Iterator[RowGroup]:
    """The row groups of a file whose footer pyarrow could read.

    Raises:
        ValueError: the footer cannot be read here.
    """
    file.seek(-_TAIL_BYTES, io.SEEK_END)
    length = int.from_bytes(file.read(4), "little")
    file.seek(-_TAIL_BYTES - length, io.SEEK_END)
    reader = _Compact(file.read(length))
    try:
        for number, kind in reader.fields():
            if number == _ROW_GROUPS and kind == _LIST:
                yield from (_row_group(reader) for _ in reader.items())
            else:
                reader.skip(kind)
    except (IndexError, RecursionError):
        raise ValueError("its footer is damaged") from None


def _row_group(reader: _Compact) -> RowGroup:
    group = RowGroup()
    for number, kind in reader.fields():
        if number == _COLUMNS and kind == _LIST:
            group.chunks.extend(_chunk(reader) for _ in reader.items())
        elif number == _ROWS and kind == _LONG:
            group.rows = reader.whole()
        else:
            reader.skip(kind)
    return group


def _chunk(reader: _Compact) -> Chunk:
    found = {_VALUES: 0, _UNPACKED: 0}
    for number, kind in reader.fields():
        if number == _META_DATA and kind == _STRUCT:
            for inner, of in reader.fields():
                if inner in found and of == _LONG:
                    found[inner] = reader.whole()
                else:
                    reader.skip(of)
        else:
            reader.skip(kind)
    return Chunk(found[_VALUES], found[_UNPACKED])


class _Compact:
    """Thrift's compact protocol, from the beginning of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0
        self._skips: dict[int, Callable[[], object]] = {
            _YES: lambda: None, _NO: lambda: None, _BYTE: lambda: self._pass(1), _DOUBLE: lambda: self._pass(8),
            _SHORT: self._varint, _INT: self._varint, _LONG: self._varint,
            _TEXT: lambda: self._pass(self._varint()), _LIST: self._skip_list, _SET: self._skip_list,
            _MAP: self._skip_map, _STRUCT: self._skip_struct,
        }  # fmt: skip

    def fields(self) -> Iterator[tuple[int, int]]:
        """The numbers and types of a struct's fields; the caller reads or skips each of them."""
        number = 0
        while head := self._byte():
            number = number + (head >> 4) if head >> 4 else self.whole()
            yield number, head & _FULL

    def items(self) -> range:
        """One number for each item of a list of structs, which the caller reads."""
        kind, size = self._list()
        if kind != _STRUCT:
            raise ValueError("its footer is damaged")
        return range(size)

    def whole(self) -> int:
        """A whole number."""
        written = self._varint()
        return (written >> 1) ^ -(written & 1)

    def skip(self, kind: int) -> None:
        """Pass over a value."""
        if kind not in self._skips:
            raise ValueError("its footer is damaged")
        self._skips[kind]()

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        return head & _FULL, self._varint() if head >> 4 == _FULL else head >> 4

    def _skip_list(self) -> None:
        kind, size = self._list()
        self._skip_items((kind,), size)

    def _skip_map(self) -> None:
        if size := self._varint():
            kinds = self._byte()
            self._skip_items((kinds >> 4, kinds & _FULL), size)

    def _skip_items(self, kinds: tuple[int, ...], size: int) -> None:
        for _ in range(size):
            for kind in kinds:
                self.skip(_BYTE if kind in {_YES, _NO} else kind)

    def _skip_struct(self) -> None:
        for _, kind in self.fields():
            self.skip(kind)

    def _pass(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise ValueError("its footer is damaged")

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:  # noqa: PLR2004 - the eighth bit says that more follow
                return value
            shift += 7
