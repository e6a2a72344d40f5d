"""Readers of catalogs, one row at a time: CSV and JSON Lines in UTF-8, with or without a byte order mark; Parquet.

A reader yields a line's values without checking them, or a `Mistake` if the line cannot be read. It raises
`CatalogError` if the rest of the file cannot be read either. A new format is a new class that implements `Rows`.
"""

from __future__ import annotations

import codecs
import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, Protocol

from catalog.columns import COLUMNS, Row, check_columns, miswritten_column
from catalog.errors import CatalogError, Mistake
from catalog.files import PACKED, CatalogFile, catalog_file
from catalog.origin import normalized

MAX_LINE_BYTES = 1 << 22  # of a row; a longer line means another kind of file, and would fill the memory

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

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows.

        Raises:
            CatalogError: the rest of the file cannot be read.
        """
        ...


def open_rows(place: str | Path) -> Rows:
    """The reader for the catalog at `place`, a path or an address, chosen by its extension.

    Raises:
        CatalogError: there is no such file, or its format is not supported.
    """
    file = catalog_file(place)
    reader = _READERS.get(file.ending)
    if reader is None or (file.packed and reader is ParquetRows):
        allowed = ", ".join([*_READERS, *(f"{ending}{PACKED}" for ending in (".csv", ".jsonl"))])
        given = file.ending + (PACKED if file.packed else "")
        raise CatalogError(f"{file.where}: cannot read {given or 'no extension'!r} files; supported: {allowed}")
    if "://" not in file.place:
        path = Path(file.place)
        if not path.exists():
            raise CatalogError(f"{path}: there is no such file")
        if path.is_dir():
            raise CatalogError(f"{path}: this is a folder, not a catalog; supported: {', '.join(_READERS)}")
    return reader(file)


class _FileRows:
    """Base of the readers of files."""

    def __init__(self, file: CatalogFile) -> None:
        self._file = file
        self.where, self.name, self.base = file.where, file.name, file.base
        self.place: str | None = normalized(file.place)


class CsvRows(_FileRows):
    """A CSV file with a header: commas, double quotes, any line ending that a spreadsheet writes."""

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows after the header; empty lines are skipped."""
        with self._file.open() as file:
            reader = csv.reader(_lines(self.where, file), strict=True)
            try:
                header = _checked_header(self.where, next(reader, []))
                first = reader.line_num + 1
                for fields in reader:
                    if len(fields) == len(header):
                        yield Row(first, dict(zip(header, fields, strict=True)))
                    elif fields:
                        yield Mistake(
                            first,
                            "",
                            f"has {len(fields)} fields, but the header has {len(header)} columns",
                        )
                    first = reader.line_num + 1
            except csv.Error as error:
                raise CatalogError(f"{self.where}:{reader.line_num}: cannot be read as CSV: {error}") from None


class JsonLinesRows(_FileRows):
    """A file with one JSON object per line; its names are the columns."""

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows; empty lines are skipped."""
        with self._file.open() as file:
            for number, line in enumerate(_lines(self.where, file), start=1):
                if line.strip():
                    yield _parsed(number, line)


class ParquetRows(_FileRows):
    """A Parquet file; its rows are counted from 1. Needs the extra ``parquet``."""

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows, read in portions."""
        from catalog import tables  # noqa: PLC0415 - pyarrow loads slowly and is optional

        with self._file.open() as file:
            yield from tables.parquet_rows(self.where, file)


_READERS: Mapping[str, type[CsvRows | JsonLinesRows | ParquetRows]] = {
    ".csv": CsvRows,
    ".jsonl": JsonLinesRows,
    ".ndjson": JsonLinesRows,
    ".parquet": ParquetRows,
}


def parse_json(text: str) -> Any:
    """Parse JSON that PostgreSQL accepts: no NaN, no duplicate names, no NUL or half of a surrogate pair in texts.

    Raises:
        ValueError: the text is not such JSON; the message says why.
    """
    try:
        value = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
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


def _lines(where: str, file: BinaryIO) -> Iterator[str]:
    """The lines of a file, decoded one by one so that an error can name its line."""
    for number, raw in enumerate(iter(lambda: file.readline(MAX_LINE_BYTES + 1), b""), start=1):
        line = raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw
        if number == 1 and line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise CatalogError(f"{where}: is encoded as UTF-16; save it as UTF-8")
        if len(line) > MAX_LINE_BYTES:
            raise CatalogError(f"{where}:{number}: is longer than {MAX_LINE_BYTES >> 20} MiB, the limit for a row")
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            found = error.object[error.start]
            raise CatalogError(
                f"{where}:{number}: is not UTF-8 (byte {error.start + 1} of the line is 0x{found:02x}); "
                "save it as UTF-8"
            ) from None
        if "\x00" in text:
            raise CatalogError(f"{where}:{number}: has a NUL character; save it as UTF-8 text")
        yield text


def _checked_header(where: str, names: list[str]) -> list[str]:
    header = [name.strip() for name in names]
    if not any(header):
        raise CatalogError(f"{where}: is empty; name the columns in the first line: {', '.join(COLUMNS)}")
    if len(header) == 1 and any(mark in header[0] for mark in ";\t"):
        raise CatalogError(f"{where}:1: the columns are not separated by commas; save it with commas")
    check_columns(f"{where}:1", header)
    return header


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"contains {name}, which is not valid JSON")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"has the name {next(name for name in names if names.count(name) > 1)!r} twice")
    return made


def _encodes(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
