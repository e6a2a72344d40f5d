"""Readers of catalogs, one row at a time: CSV and JSON Lines in UTF-8 or UTF-16; Parquet; workbooks.

A reader yields a line's values without checking them, or a `Mistake` if the line cannot be read. It raises
`CatalogError` if the rest of the file cannot be read either. A new format is a new entry in `_READERS`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

from catalog.columns import MAX_DIGITS, Row, miswritten_column
from catalog.csv_rows import CsvTable
from catalog.errors import CatalogError, Mistake
from catalog.files import PACKED, CatalogFile, catalog_file
from catalog.lines import text_lines
from catalog.origin import normalized
from catalog.sheets import read_sheet
from workers.counted import counted
from workers.images.roots import EVERYWHERE, Roots
from workers.jobs.run_options import DEFAULTS, RunOptions

SHOWN_DIGITS = 40  # of a number in a message

_NOTHING = (None, "")
_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON writes it: behind an even number of backslashes


class Rows(Protocol):
    """A catalog's rows; each iteration reads from the beginning."""

    @property
    def where(self) -> str:
        """The catalog's name in messages."""
        ...

    @property
    def name(self) -> str:
        """The batch's default name."""
        ...

    @property
    def base(self) -> str:
        """What relative paths in it are relative to: a folder or an address."""
        ...

    @property
    def place(self) -> str | None:
        """Where it lies, as `catalog.origin.normalized` writes it; None if that is not known."""
        ...

    @property
    def notes(self) -> list[str]:
        """What a person should know of it, each a line; complete when all rows were read."""
        ...

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows.

        Raises:
            CatalogError: the rest of the file cannot be read.
        """
        ...


def open_rows(place: str | Path, roots: Roots = EVERYWHERE, options: RunOptions = DEFAULTS) -> Rows:
    """The reader for the catalog at `place`, a path or an address.

    It is chosen by the format of `options`, or else by its extension or by what a server tells.

    Raises:
        CatalogError: there is no such file, it lies outside `roots`, or its format is not supported.
    """
    file = catalog_file(place)
    if options.format is not None:
        file = replace(file, ending=f".{options.format}")
    missing = "://" not in file.place and not Path(file.place).exists()
    told_later = not file.ending and (file.remote or missing)
    if not told_later and (file.ending not in _READERS or (file.packed and file.ending in _WHOLE)):
        raise CatalogError(_unsupported(file.where, file.ending + (PACKED if file.packed else "")))
    if missing:
        raise CatalogError(f"{file.place}: there is no such file or folder; a catalog ends with {', '.join(_READERS)}")
    if "://" not in file.place and Path(file.place).is_dir():
        raise CatalogError(f"{file.place}: this is a folder, not a catalog; supported: {', '.join(_READERS)}")
    return FileRows(file, roots, options.sheet)


class FileRows:
    """The rows of a file, in the format that its ending or the server names."""

    def __init__(self, file: CatalogFile, roots: Roots, sheet: str | None = None) -> None:
        self._file, self._roots, self._sheet = file, roots, sheet
        self.where, self.name, self.base = file.where, file.name, file.base
        self.place: str | None = normalized(file.place)
        self.notes: list[str] = []

    def come_from(self, file: str) -> None:
        """Have messages call it by the name that it had where it came from: where it lies for a moment says nothing."""
        self._file = replace(self._file, where=file)
        self.where, self.name, self.place = file, file.partition(".")[0], None

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows."""
        self.notes.clear()
        with self._file.open(self._roots) as opened:
            reader = _READERS.get(opened.ending)
            if reader is None:
                raise CatalogError(_unsupported(self.where, opened.ending))
            if self._sheet is not None and reader is not _workbook:
                raise CatalogError(
                    f"{self.where}: --sheet: {self._sheet!r}: only .xlsx files have sheets; leave it out"
                )
            blank = 0
            for row in reader(self.where, opened.file, self.notes, self._sheet):
                # The first question is answered at once for nearly every row.
                if isinstance(row, Row) and not any(row.values.values()) and _is_blank(row.values):
                    blank += 1
                else:
                    yield row
            if blank:
                self.notes.append(f"{self.where}: left out {counted(blank, 'blank row')}")


def _is_blank(values: Mapping[str, Any]) -> bool:
    return all(value in _NOTHING for value in values.values())


def _csv(where: str, file: BinaryIO, notes: list[str], _: str | None) -> Iterable[Row | Mistake]:
    return CsvTable(where, file, notes)


def _json_lines(where: str, file: BinaryIO, _: list[str], __: str | None) -> Iterator[Row | Mistake]:
    """One JSON object per line, whose names are the columns; empty lines are skipped."""
    for number, line in enumerate(text_lines(where, file), start=1):
        if line.strip():
            yield _parsed(number, line)


def _parquet(where: str, file: BinaryIO, _: list[str], __: str | None) -> Iterator[Row | Mistake]:
    """Rows counted from 1, read in portions. Needs the extra ``parquet``."""
    try:
        from catalog.parquet import read_rows  # noqa: PLC0415 - pyarrow loads slowly and is optional
    except ImportError:
        raise CatalogError(
            f"{where}: a package for reading Parquet is missing: pip install 'recast-server[parquet]'"
        ) from None
    yield from read_rows(where, file)


def _workbook(where: str, file: BinaryIO, notes: list[str], sheet: str | None) -> Iterator[Row | Mistake]:
    return read_sheet(where, file, notes, sheet)


_Reader = Callable[[str, BinaryIO, list[str], str | None], Iterable[Row | Mistake]]
_READERS: Mapping[str, _Reader] = {
    ".csv": _csv,
    ".tsv": _csv,
    ".txt": _csv,
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".parquet": _parquet,
    ".xlsx": _workbook,
    ".xlsm": _workbook,
}
#: The formats that are read from several places of a file, so that it cannot be packed.
_WHOLE = frozenset({".parquet", ".xlsx", ".xlsm"})


def _unsupported(where: str, ending: str) -> str:
    allowed = ", ".join([*_READERS, *(f"{ending}{PACKED}" for ending in (".csv", ".jsonl"))])
    advice = "; in the spreadsheet, save it as .xlsx or CSV UTF-8" if ending in _SPREADSHEETS else "; or use --format"
    return f"{where}: cannot read {ending or 'no extension'!r} files; supported: {allowed}{advice}"


_SPREADSHEETS = frozenset({".xls", ".xlsb", ".ods", ".numbers"})


def parse_json(text: str) -> Any:
    """Parse JSON that PostgreSQL accepts.

    It has no NaN or endless numbers, no duplicate names, no NUL or half of a surrogate pair in texts.

    Raises:
        ValueError: the text is not such JSON; the message says why.
    """
    try:
        value = json.loads(
            text, parse_constant=_no_constant, parse_float=_finite, parse_int=_bounded, object_pairs_hook=_no_duplicates
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"is not valid JSON: {error.msg} (character {error.pos + 1})") from None
    except RecursionError:
        raise ValueError("is nested too deeply; use fewer levels") from None
    if "\\u" in text:  # only an escape can bring such characters into a text that was read as UTF-8
        written = json.dumps(value, ensure_ascii=False)
        if _NUL.search(written) or not _encodes(written):
            raise ValueError("contains a NUL character or half of a surrogate pair; remove it")
    return value


def _parsed(number: int, line: str) -> Row | Mistake:
    try:
        value = parse_json(line)
    except ValueError as error:
        return Mistake(number, "", str(error))
    if not isinstance(value, dict):
        return Mistake(number, "", "is not a JSON object, {...}")
    if miswritten := miswritten_column(value):
        return Mistake(number, miswritten, f"is not a valid column; write {miswritten.lower()!r}")
    return Row(number, value)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"contains {name}, which is not valid JSON")


def _finite(written: str) -> float:
    number = float(written)
    if not math.isfinite(number):
        raise ValueError(f"contains {written[:SHOWN_DIGITS]}, which is larger than any number that JSON's readers hold")
    return number


def _bounded(written: str) -> int:
    if len(written) > MAX_DIGITS:
        raise ValueError(f"contains an integer of {len(written):,} digits; allowed: {MAX_DIGITS}; write it as text")
    return int(written)


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"has the name {twice!r} twice")
    return made


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
