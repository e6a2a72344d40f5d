"""Rows of CSV files as people's spreadsheets write them.

Columns are separated by commas, semicolons, tabs or bars: as a line ``sep=`` says, or else as the header shows. Rows
that hold nothing, and columns at the end, are left out, and signs around a column's name that nobody sees are cut. A
note says what was done.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain
from typing import BinaryIO

from catalog.columns import COLUMNS, REQUIRED, Row, check_columns
from catalog.errors import CatalogError, Mistake
from catalog.lines import text_lines
from recast.values import trimmed
from workers.counted import counted

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars (|)"}

#: What a row consists of that holds nothing.
_NOTHING = f'{"".join(SEPARATORS)}" \u00a0\r\n'

#: What Python's reader says, in words for people. Its row can have many lines, if a quote was not closed in time.
_PLAIN = {
    "unexpected end": "a quote opens in the row that begins here, and is never closed",
    "expected after": "text follows a closing quote in the row that begins here; write a quote within quotes twice",
    "field larger": f"a field of the row that begins here has more than {csv.field_size_limit():,} characters",
    "new-line": "some lines end with a carriage return, others with a line feed; save it with one kind of line ends",
}

_SAYS_SEPARATOR = re.compile(r'"?sep=(?P<sign>[,;\t|])"?[,;\t|]*\s*', re.IGNORECASE)


class CsvTable:
    """One CSV file while it is read; `notes` gets what a person should know of it."""

    def __init__(self, where: str, file: BinaryIO, notes: list[str]) -> None:
        self._where = where
        self._notes = notes
        lines = text_lines(where, file)
        first = next(lines, "")
        self._skipped = 0
        said = _SAYS_SEPARATOR.fullmatch(first)
        if said:
            first, self._skipped = next(lines, ""), 1
        self._blank_rows = 0
        while first and not first.strip(_NOTHING):  # rows above the table, as in a sheet
            first = next(lines, "")
            self._skipped, self._blank_rows = self._skipped + 1, self._blank_rows + 1
        sign = said["sign"] if said else _separator(first)
        if sign != ",":
            notes.append(f"{where}: the columns are separated by {SEPARATORS.get(sign, sign)}")
        self._first = 1 + self._skipped
        self._reader = csv.reader(chain([first], lines), delimiter=sign, strict=True)

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows after the header; empty ones are skipped."""
        try:
            yield from self._rows()
        except csv.Error as error:
            why = next((words for sign, words in _PLAIN.items() if sign in str(error)), str(error))
            raise CatalogError(f"{self._where}:{self._first}: cannot be read as CSV: {why}") from None

    def _rows(self) -> Iterator[Row | Mistake]:
        written = [trimmed(name) for name in next(self._reader, [])]
        header = _named(written)
        self._check(header)
        width = len(header)
        reader, skipped = self._reader, self._skipped
        self._first = reader.line_num + skipped + 1
        for fields in reader:
            if fields and not fields[0].strip() and not any(map(str.strip, fields)):
                self._blank_rows += 1
            elif len(fields) == width:
                yield Row(self._first, dict(zip(header, fields, strict=True)))
            elif len(fields) > width and not any(map(str.strip, fields[width:])):
                yield Row(self._first, dict(zip(header, fields, strict=False)))
            elif fields:
                yield Mistake(self._first, "", _misfit(fields, width, len(written)))
            self._first = reader.line_num + skipped + 1
        self._tell(len(written) - width)

    def _check(self, header: list[str]) -> None:
        if not header:
            raise CatalogError(f"{self._where}: is empty; name the columns in the first line: {', '.join(COLUMNS)}")
        check_columns(f"{self._where}:{1 + self._skipped}", header)

    def _tell(self, blank_columns: int) -> None:
        counts = [(self._blank_rows, "row"), (blank_columns, "column")]
        found = [counted(number, f"blank {word}") for number, word in counts if number]
        if found:
            self._notes.append(f"{self._where}: left out {' and '.join(found)}")


def _separator(header: str) -> str:
    """The sign between the columns of a header: the one that makes our columns of it, or else the most columns."""

    def made(sign: str) -> tuple[bool, int]:
        try:
            names = [trimmed(name) for name in next(csv.reader([header], delimiter=sign), [])]
        except csv.Error:
            return False, 0
        return set(REQUIRED) <= set(names), len(names)

    return max(SEPARATORS, key=made)


def _named(names: list[str]) -> list[str]:
    """The header without columns at its end that have no name."""
    width = len(names)
    while width and not names[width - 1]:
        width -= 1
    return names[:width]


def _misfit(fields: list[str], width: int, written: int) -> str:
    if len(fields) <= written and len(fields) > width:
        place = next(number for number, field in enumerate(fields, start=1) if number > width and field.strip())
        return f"has a value in column {place}, which has no name; name each column in the header"
    return f"has {counted(len(fields), 'field')}, but the header has {width} columns"
