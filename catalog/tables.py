"""Rows of tables in memory (mappings, pandas and polars frames).

Their values have types. Types that JSON lacks become text: times in ISO 8601, decimals as they are written.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, time
from decimal import Decimal
from pathlib import Path, PurePath
from typing import Any
from uuid import UUID

from catalog.columns import MAX_DIGITS, Row, check_columns, miswritten_column
from catalog.errors import CatalogError, Mistake
from catalog.origin import normalized
from workers.jobs.request import is_storable

_TOO_LARGE = 10**MAX_DIGITS


class TableRows:
    """The rows of a table in memory; they are counted from 1.

    Args:
        table: mappings of column to value, or a pandas or polars frame.
        name: the name of the batch, and of the table in messages.
        folder: what relative paths are relative to; the working folder by default.

    Raises:
        CatalogError: `table` is neither.
    """

    def __init__(self, table: Any, name: str, folder: Path | None = None) -> None:
        self.where = self.name = name
        self.base = str(folder or Path())
        # The working folder says nothing of where a program's table comes from.
        self.place = None if folder is None else normalized(str(folder))
        self.notes: list[str] = []
        self._table = table
        if isinstance(table, str | bytes | Mapping) or not (_is_frame(table) or isinstance(table, Iterable)):
            raise CatalogError(
                f"{name}: a {type(table).__name__} is not a valid table; use mappings such as "
                '{"key": "1", "kind": "swap", ...}, a pandas or polars frame, or a catalog\'s path'
            )

    def __iter__(self) -> Iterator[Row | Mistake]:
        """Yield the rows."""
        if _is_frame(self._table):
            check_columns(self.where, [str(name) for name in self._table.columns])
        for number, record in enumerate(_records(self._table), start=1):
            yield self._row(number, record)

    def _row(self, number: int, record: Any) -> Row | Mistake:
        if not isinstance(record, Mapping):
            return Mistake(number, "", f"is a {type(record).__name__}, not a mapping of column to value")
        if unnamed := next((name for name in record if not isinstance(name, str) or not is_storable(name)), None):
            return Mistake(number, "", f"{unnamed!r} is not a valid column name; use text")
        if miswritten := miswritten_column(record):
            return Mistake(number, miswritten, f"is not a valid column; write {miswritten.lower()!r}")
        return plain_row(number, record)


def plain_row(number: int, record: Mapping[str, Any]) -> Row | Mistake:
    """A row whose values JSON has and PostgreSQL accepts, or a mistake in one of them."""
    try:
        values = {name: value if type(value) in _AS_IT_IS else plain(value) for name, value in record.items()}
    except TypeError as error:
        bad = next(name for name, value in record.items() if not _is_plain(value))
        return Mistake(number, bad, str(error))
    for name, value in values.items():
        if type(value) not in _HARMLESS and not is_storable(value):
            return Mistake(number, name, "contains a NUL character or half of a surrogate pair; remove it")
        if type(value) is int and abs(value) >= _TOO_LARGE:
            return Mistake(number, name, f"is an integer of more than {MAX_DIGITS} digits; write it as text")
    return Row(number, values)


def plain(value: Any) -> Any:
    """`value` as JSON has it; NaN and NaT become None.

    Raises:
        TypeError: JSON has no such type or number.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isinf(value):
            raise TypeError("is infinite, and JSON has no such number; write a number, or leave it out")
        return value if math.isfinite(value) else None
    if isinstance(value, date | time):
        # pandas' NaT is a datetime that does not equal itself.
        return value.isoformat() if value == value else None  # noqa: PLR0124
    if isinstance(value, Decimal | UUID):
        return str(value)
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Mapping):
        # A Parquet struct has all its fields in each row: those that are not set are None.
        return {str(name): plain(item) for name, item in value.items() if item is not None}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [plain(item) for item in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return plain(value.tolist())
    raise TypeError(
        f"is a {type(value).__name__}, which a catalog cannot hold; allowed: what JSON has, times, decimals"
    )


_HARMLESS = frozenset({int, bool, type(None)})
_AS_IT_IS = frozenset({str, *_HARMLESS})


def _is_plain(value: Any) -> bool:
    try:
        plain(value)
    except TypeError:
        return False
    return True


def _is_frame(table: Any) -> bool:
    return hasattr(table, "columns") and (hasattr(table, "iter_rows") or hasattr(table, "itertuples"))


def _records(table: Any) -> Iterable[Any]:
    """A table's rows as mappings."""
    if not _is_frame(table):
        return table  # type: ignore[no-any-return]
    if hasattr(table, "iter_rows"):
        return table.iter_rows(named=True)  # type: ignore[no-any-return]
    names = [str(name) for name in table.columns]
    known = table.astype(object).where(table.notna(), None)
    return (dict(zip(names, values, strict=True)) for values in known.itertuples(index=False, name=None))
