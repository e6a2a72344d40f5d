"""Rows of Parquet files, read in portions; what a file would unpack to is known before it is unpacked.

A small file can name gigabytes: texts that are stored once and repeated, pages of zeros, lists of nothing. So its
metadata is checked first, texts stay as they are stored until their length in rows is known, and a portion is made
smaller where its rows are large.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from catalog.columns import Row, check_columns
from catalog.errors import CatalogError, Mistake
from catalog.files import MAX_EXPANSION, MAX_UNPACKED_BYTES
from catalog.footer import row_groups
from catalog.lines import MAX_LINE_BYTES
from catalog.tables import plain_row
from workers.http.addresses import visible

PORTION = 2_000  # rows in memory at once: some MB, whatever the size of the file's row groups
MAX_ROWS = 20_000_000  # of a file; more are a mistake, or meant to keep us busy
MAX_CHUNKS = 50_000  # columns in row groups, whose sizes are looked at one by one: a second or two
MAX_VALUES = 10_000_000  # in the lists of one row group: as pointers alone they take 80 MB


def read_rows(where: str, file: BinaryIO) -> Iterator[Row | Mistake]:
    """The rows of a Parquet file, counted from 1.

    Raises:
        CatalogError: the file is not Parquet, is damaged, is too large, or lacks required columns.
    """
    number = 0
    try:
        size = file.seek(0, 2)
        table = parquet.ParquetFile(file)
        names = table.schema_arrow.names
        check_columns(where, names)
        _check_size(where, file, table.metadata.num_rows, size)
        table = parquet.ParquetFile(file, read_dictionary=_texts(table.metadata))
        for batch in table.iter_batches(PORTION):
            for part in _portions(where, batch, number):
                columns = [_unfolded(column) for column in part.columns]
                made = Row if all(map(_is_plain, columns)) else plain_row
                values = [_values(where, number, *each) for each in zip(names, columns, strict=True)]
                for row in zip(*values, strict=True):
                    number += 1
                    yield made(number, dict(zip(names, row, strict=True)))
    except (pa.ArrowException, UnicodeDecodeError, OSError, ValueError) as error:
        message = str(error).partition("\n")[0]
        raise CatalogError(f"{where}: cannot be read as Parquet after row {number}: {message}") from None


def _unfolded(column: Any) -> Any:
    """A column whose every value stands for itself: arrow makes Python's values of it in a fortieth of the time."""
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _is_plain(column: Any) -> bool:
    """Whether `plain_row` would find nothing to change in any value of a column, and nothing wrong."""
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return not pc.any(pc.match_substring(column, "\x00")).as_py()
    return bool(pa.types.is_integer(kind) or pa.types.is_boolean(kind) or pa.types.is_null(kind))


def _values(where: str, before: int, name: str, column: Any) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (OverflowError, KeyError) as error:  # KeyError: of a time zone that nobody knows
        said = f"column {visible(name)} holds a time that cannot be read after row {before}"
        raise CatalogError(f"{where}: {said}: {error}") from None


def _check_size(where: str, file: BinaryIO, rows: int, size: int) -> None:
    if rows > MAX_ROWS:
        raise CatalogError(f"{where}: has {rows:,} rows; allowed: {MAX_ROWS:,}")
    unpacked = chunks = 0
    for group in row_groups(file):
        unpacked += sum(chunk.unpacked for chunk in group.chunks)
        chunks += len(group.chunks)
        if chunks > MAX_CHUNKS:
            raise CatalogError(f"{where}: has more than {MAX_CHUNKS:,} columns in row groups; write larger row groups")
        listed = sum(chunk.values for chunk in group.chunks if chunk.values > group.rows)
        if listed > MAX_VALUES:
            raise CatalogError(f"{where}: has {listed:,} values in lists; allowed in a row group: {MAX_VALUES:,}")
        largest = max((chunk.unpacked for chunk in group.chunks), default=0)
        if largest > max(MAX_UNPACKED_BYTES, group.rows * 1024) or largest > MAX_UNPACKED_BYTES * 8:
            raise CatalogError(f"{where}: a column would unpack to {largest:,} bytes; allowed: {MAX_UNPACKED_BYTES:,}")
    if unpacked > max(MAX_UNPACKED_BYTES, MAX_EXPANSION * size):
        raise CatalogError(
            f"{where}: would unpack to {unpacked:,} bytes; allowed: {MAX_UNPACKED_BYTES:,}, or "
            f"{MAX_EXPANSION} times its size"
        )


def _texts(metadata: Any) -> list[str]:
    """The columns whose values can be long, which stay as they are stored: each value once."""
    columns = [metadata.schema.column(number) for number in range(metadata.num_columns)]
    return [each.path for each in columns if each.physical_type == "BYTE_ARRAY" and each.logical_type.type != "DECIMAL"]


def _portions(where: str, batch: Any, before: int) -> Iterator[Any]:
    """Parts of a batch that take some MB each as values.

    Raises:
        CatalogError: one row alone takes more than a row may.
    """
    if sum(map(_size, batch.columns)) <= MAX_LINE_BYTES:
        yield batch
    elif batch.num_rows == 1:
        raise CatalogError(f"{where}:{before + 1}: is longer than {MAX_LINE_BYTES >> 20} MiB, the limit for a row")
    else:
        half = batch.num_rows // 2
        yield from _portions(where, batch.slice(0, half), before)
        yield from _portions(where, batch.slice(half), before + half)


def _size(column: Any) -> int:
    """About the bytes that a column's values take once each stands for itself."""
    if pa.types.is_dictionary(column.type):
        lengths = pc.binary_length(column.dictionary)
        return int(pc.sum(lengths.take(column.indices)).as_py() or 0)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) or pa.types.is_map(column.type):
        inner = [column.flatten()] if not pa.types.is_map(column.type) else [column.keys, column.items]
        return sum(map(_size, inner)) + int(column.nbytes)
    if pa.types.is_struct(column.type):
        return sum(map(_size, column.flatten()))
    return int(column.nbytes)
