"""Rows of a sheet of a workbook (.xlsx), as people see them in the spreadsheet.

Numbers have no needless ``.0`` and the leading zeros of their format, times are in ISO 8601, formulas are their values.
The first row that holds anything is the header. Rows and columns that hold nothing are left out, as in CSV, and a row
with merged cells, a failed formula or one without a value is a mistake.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import date, datetime, timedelta
from typing import Any, BinaryIO

from catalog.columns import COLUMNS, MAX_COLUMNS, Row, check_columns
from catalog.errors import CatalogError, Mistake
from catalog.lines import MAX_LINE_BYTES
from catalog.tables import plain_row
from catalog.workbook import MAX_TEXT, NUMBER, TRUE, DamagedError, Pieces, Sheet, Workbook, number_of, opened, unescaped
from recast.values import trimmed
from workers.counted import counted

MAX_CHARACTERS = 1 << 30  # of all rows: a text that cells share is counted in each
MAX_ROWS = 1_048_576  # that spreadsheets have
MAX_WHOLE = 10**15  # above, a spreadsheet's numbers have lost digits

_PLACE = re.compile(r"\$?([A-Za-z]{1,3})\$?([0-9]{1,7})")
_UNCOMPUTED = "is a formula without a value; save the file in a spreadsheet again"
_PLAIN_WHOLE = re.compile(r"[0-9]{1,15}")
_WHOLE = re.compile(r"-?[0-9]{1,15}")


def read_sheet(where: str, file: BinaryIO, notes: list[str], name: str | None = None) -> Iterator[Row | Mistake]:
    """The rows of the sheet called `name`, or of the first one that people see, by their numbers in it.

    Raises:
        CatalogError: it cannot be read as a workbook, is too large, has no such sheet, or lacks required columns.
    """
    with opened(where, file) as book:
        sheet = _chosen(where, book.sheets, name, notes)
        yield from _Reader(where, book, sheet, notes).rows()


def _chosen(where: str, sheets: list[Sheet], name: str | None, notes: list[str]) -> Sheet:
    names = ", ".join(repr(sheet.name) for sheet in sheets)
    if name is not None:
        found = next((sheet for sheet in sheets if trimmed(sheet.name) == trimmed(name)), None)
        if found is None:
            raise CatalogError(f"{where}: --sheet: there is no sheet {name!r}; allowed: {names}")
        return found
    seen = [sheet for sheet in sheets if sheet.visible] or sheets
    if len(seen) > 1:
        notes.append(f"{where}: reads the sheet {seen[0].name!r}; --sheet chooses one of {names}")
    return seen[0]


class _Reader:
    """The state of one reading of one sheet."""

    def __init__(self, where: str, book: Workbook, sheet: Sheet, notes: list[str]) -> None:
        self._where, self._book, self._sheet, self._notes = where, book, sheet, notes
        self._found: deque[tuple[int, dict[int, Any]]] = deque()
        self._merged: list[str] = []
        self._header: list[str] = []
        self._top = self._blank = self._unseen = self._characters = 0
        self._row = self._column = 0
        self._cells: dict[int, Any] = {}
        self._kind = ""
        self._style = ""
        self._pieces = Pieces()
        self._collects = self._is_formula = self._has_value = self._hidden = False
        self._silent = 0

    def rows(self) -> Iterator[Row | Mistake]:
        """Yield the rows after the header."""
        for _ in self._book.parts.parse(self._sheet.part, self._start, self._end, self._text):
            while self._found:
                made = self._made(*self._found.popleft())
                if made is not None:
                    yield made
        if not self._header:
            columns = ", ".join(COLUMNS)
            raise CatalogError(f"{self._where}: the sheet {self._sheet.name!r} is empty; name the columns: {columns}")
        yield from self._merges()
        if self._blank:
            self._notes.append(f"{self._where}: left out {counted(self._blank, 'blank row')}")
        if self._unseen:
            hidden = counted(self._unseen, "row")
            self._notes.append(f"{self._where}: {hidden} hidden in the sheet, as by a filter, taken like all others")

    # --- XML ------------------------------------------------------------------------------------------------------

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "row":
            self._row, self._column = self._row_number(attributes.get("r")), 0
            self._hidden = attributes.get("hidden", "0").lower() in TRUE
        elif name == "c":
            self._column = self._column_number(attributes.get("r"))
            self._kind, self._style = attributes.get("t", "n"), attributes.get("s", "")
            self._is_formula = self._has_value = False
        elif name in {"v", "t"}:
            self._collects = self._has_value = True
        elif name == "f":
            self._is_formula = True
        elif name == "rPh":
            self._silent += 1
        elif name == "mergeCell" and len(self._merged) < MAX_COLUMNS:
            self._merged.append(attributes.get("ref", ""))

    def _end(self, name: str) -> None:
        if name in {"v", "t"}:
            self._collects = False
        elif name == "rPh":
            self._silent -= 1
        elif name == "c":
            value = self._value(self._pieces.taken())
            if value not in ("", None):
                self._keep(value)
        elif name == "row" and self._cells:  # a row that only has a format is none that people see
            self._found.append((self._row, self._cells))
            self._unseen += self._hidden and not _is_blank(self._cells)
            self._cells = {}

    def _text(self, text: str) -> None:
        if self._collects and not self._silent and not self._pieces.add(text):
            raise DamagedError(f"a cell of row {self._row} has more than {MAX_TEXT:,} characters")

    def _row_number(self, written: str | None) -> int:
        number = number_of(written)
        if written is not None and not self._row < number <= MAX_ROWS:
            raise DamagedError(f"row {written!r} follows row {self._row}")
        if self._row == MAX_ROWS:
            raise DamagedError(f"it has more than {MAX_ROWS:,} rows")
        return number or self._row + 1

    def _column_number(self, written: str | None) -> int:
        if written is None:
            return self._column + 1
        place = _place(written)
        if place is None:
            raise DamagedError(f"a cell of row {self._row} is at {written[:20]!r}")
        return place[0]

    def _keep(self, value: Any) -> None:
        self._cells[self._column] = value
        self._characters += len(value) if isinstance(value, str) else 8
        if self._characters > MAX_CHARACTERS:
            raise CatalogError(
                f"{self._where}:{self._row}: the rows up to here have more than {MAX_CHARACTERS:,} signs"
            )
        if len(self._cells) > MAX_COLUMNS:
            raise CatalogError(f"{self._where}:{self._row}: has more than {MAX_COLUMNS:,} columns")

    # --- Values ---------------------------------------------------------------------------------------------------

    def _value(self, written: str) -> Any:
        # A program that computes nothing leaves the value out, or empty; an empty text is a value of its own type.
        if self._is_formula and not (written or (self._has_value and self._kind == "str")):
            return _NoValue.FORMULA
        if self._kind == "s":
            return self._book.texts.at(int(written) if _WHOLE.fullmatch(written.strip()) else -1)
        if self._kind == "b":
            return written.strip() in TRUE
        if self._kind in {"str", "inlineStr"}:
            return unescaped(written)
        if self._kind == "d":
            return written.removesuffix("T00:00:00").removesuffix("T00:00:00Z")
        return written if self._kind == "e" else self._measure(written.strip())

    def _measure(self, written: str) -> Any:
        """A number, or the time that its format makes of it."""
        if not written:
            return ""
        style = int(self._style) if _WHOLE.fullmatch(self._style) else 0
        shown = self._book.styles[style] if 0 <= style < len(self._book.styles) else NUMBER
        if shown.digits and _PLAIN_WHOLE.fullmatch(written):
            return written.zfill(shown.digits)
        duration = shown.duration
        if duration is None and _WHOLE.fullmatch(written):
            return int(written)
        try:
            number = float(written)
        except ValueError:
            raise DamagedError(f"row {self._row}: {written[:40]!r} is not a number") from None
        if duration is not None and math.isfinite(number):
            return _time(number, duration=duration, from_1904=self._book.from_1904)
        return int(number) if number.is_integer() and abs(number) < MAX_WHOLE else number

    # --- Rows -----------------------------------------------------------------------------------------------------

    def _made(self, number: int, cells: dict[int, Any]) -> Row | Mistake | None:
        if _is_blank(cells):
            self._blank += bool(self._header)
            return None
        if not self._header:
            self._name(number, cells)
            return None
        width = len(self._header)
        if beyond := next((column for column, value in cells.items() if column > width and str(value).strip()), None):
            return Mistake(number, "", f"has a value in column {_letters(beyond)}, which has no name in the header")
        if sum(len(value) for value in cells.values() if isinstance(value, str)) > MAX_LINE_BYTES:
            limit = f"{MAX_LINE_BYTES >> 20} MiB, the limit for a row"
            raise CatalogError(f"{self._where}:{number}: is longer than {limit}")
        values: dict[str, Any] = {}
        for column, name in enumerate(self._header, start=1):
            value = cells.get(column, "")
            if value is _NoValue.FORMULA:
                return Mistake(number, name, _UNCOMPUTED)
            values[name] = _as_typed(value) if name in COLUMNS else value
        return plain_row(number, values)

    def _name(self, number: int, cells: dict[int, Any]) -> None:
        self._top = number
        if unknown := next((column for column, value in cells.items() if value is _NoValue.FORMULA), None):
            raise CatalogError(f"{self._where}:{number}: the name of column {_letters(unknown)} {_UNCOMPUTED}")
        named = {column: trimmed(str(_as_typed(value))) for column, value in cells.items()}
        width = max((column for column, name in named.items() if name), default=0)
        if width > MAX_COLUMNS:
            raise CatalogError(f"{self._where}: has {width:,} columns; allowed: {MAX_COLUMNS:,}")
        header = [named.get(column, "") for column in range(1, width + 1)]
        check_columns(f"{self._where}:{number}", header)
        self._header = header

    def _merges(self) -> Iterator[Mistake]:
        """Merged cells among the rows: a spreadsheet keeps the value in the first of them only."""
        for written in self._merged:
            first, last = (_place(part) for part in (written.partition(":")[0], written.rpartition(":")[2]))
            if first and last and last[1] > self._top and first[0] <= len(self._header):
                name = self._header[first[0] - 1]
                said = f"the cells {written} are merged; split them, and write the value into each row"
                yield Mistake(max(first[1], self._top + 1), name, said)


class _NoValue:
    """What stands for a formula that the program which wrote the file did not compute."""

    FORMULA = object()


def _is_blank(cells: Mapping[int, Any]) -> bool:
    return not any(not isinstance(value, str) or value.strip() for value in cells.values())


def _place(written: str) -> tuple[int, int] | None:
    """Column and row of ``B7``, counted from 1."""
    found = _PLACE.fullmatch(written)
    if found is None:
        return None
    column = 0
    for letter in found[1].upper():
        column = column * 26 + ord(letter) - ord("A") + 1
    return column, int(found[2])


def _letters(column: int) -> str:
    letters = ""
    while column:
        column, rest = divmod(column - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _as_typed(value: Any) -> Any:
    """A value of a column that Recast reads, as text: a spreadsheet makes numbers of keys."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    return str(value) if isinstance(value, int | float) else value


def _time(days: float, *, duration: bool, from_1904: bool) -> Any:
    """The time, date or duration that a spreadsheet shows for a number of days; what none has stays a number."""
    if duration:
        minutes, seconds = divmod(round(abs(days) * 86_400), 60)
        return f"{'-' if days < 0 else ''}{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    # Excel has a 29th of February 1900; days after it count from a day earlier. A spreadsheet's times have no zone.
    start = datetime(1904, 1, 1) if from_1904 else datetime(1899, 12, 30 if days >= 61 else 31)  # noqa: DTZ001, PLR2004
    try:
        moment = start + timedelta(days=math.floor(days), seconds=round((days % 1) * 86_400))
    except OverflowError:
        return days
    if 0 < days < 1:
        return moment.time().isoformat()
    return (date(moment.year, moment.month, moment.day) if moment.time() == moment.min.time() else moment).isoformat()
