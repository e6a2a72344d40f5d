"""Small Parquet files that would unpack to gigabytes: refused from their metadata, or read in small portions."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from catalog import parquet as reader
from catalog.columns import MAX_COLUMNS, Row
from catalog.errors import CatalogError, Mistake
from catalog.files import MAX_UNPACKED_BYTES
from catalog.footer import row_groups
from catalog.rows import open_rows
from tests.memory import taken
from tests.words import names

ALLOWED_GROWTH = 300 << 20  # bytes of memory that reading may take


def table(path: Path, rows: int, **more: Any) -> Path:
    made = pa.table({"key": pa.array([str(n) for n in range(rows)]), "kind": pa.array(["swap"] * rows), **more})
    parquet.write_table(made, path, compression="zstd")
    return path


def repeated(text: str, rows: int) -> Any:
    return pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([text]))


@pytest.mark.heavy
@pytest.mark.parametrize(
    ("more", "facts"),
    [
        (lambda: {"note": repeated("x" * (5 << 20), 2_000)}, ["4 MiB"]),
        (lambda: {"note": pa.array([["x"] * 20_000_000] + [None] * 1_999)}, ["lists"]),
        (lambda: {f"c{n}": pa.nulls(2_000) for n in range(MAX_COLUMNS)}, [f"{MAX_COLUMNS:,}"]),
    ],
    ids=["a text of 10 GB", "a list", "columns"],
)
def test_what_would_fill_the_memory_is_refused(
    tmp_path: Path, more: Callable[[], dict[str, Any]], facts: list[str]
) -> None:
    path = table(tmp_path / "c.parquet", 2_000, **more())
    with taken() as memory, pytest.raises(CatalogError, match=names("c.parquet", *facts)):
        list(open_rows(path))
    assert memory.bytes < ALLOWED_GROWTH


def test_a_column_that_would_unpack_to_too_much_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c.parquet"
    notes = pa.chunked_array([pa.array(["x" * (1 << 20)])] * 400)  # one buffer, 400 times
    made = pa.table({"key": [str(n) for n in range(400)], "kind": ["swap"] * 400, "note": notes})
    parquet.write_table(made, path, compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(reader, "_portions", lambda *_: pytest.fail("was read"))
    with pytest.raises(CatalogError, match=names("c.parquet", f"{MAX_UNPACKED_BYTES:,}")):
        list(open_rows(path))


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_ROWS", 99)
    with pytest.raises(CatalogError, match=names("100", "99")):
        list(open_rows(table(tmp_path / "c.parquet", 100)))


@pytest.mark.parametrize(
    "times",
    [
        pa.array([1 << 52], pa.timestamp("ms")),
        pa.array([1 << 30], pa.date32()),
        pa.array([[1 << 30]], pa.list_(pa.date32())),
        pa.array([5], pa.timestamp("ms", "Mars/Phobos")),
    ],
    ids=["a moment", "a day", "days", "a zone"],
)
def test_a_time_that_no_calendar_has_is_told_with_its_column(tmp_path: Path, times: Any) -> None:
    with pytest.raises(CatalogError, match=names("c.parquet", "taken_at", "time")):
        list(open_rows(table(tmp_path / "c.parquet", 1, taken_at=times)))


@pytest.mark.parametrize("dictionary", [True, False])
def test_a_text_that_no_database_keeps_is_found_in_any_row(tmp_path: Path, dictionary: bool) -> None:
    notes = ["ä"] * 5_000
    notes[4_321] = "a\0b"
    path = tmp_path / "c.parquet"
    made = pa.table({"key": [str(n) for n in range(5_000)], "kind": ["swap"] * 5_000, "note": notes})
    parquet.write_table(made, path, use_dictionary=dictionary)
    rows = list(open_rows(path))
    assert [(row.line, row.column) for row in rows if isinstance(row, Mistake)] == [(4_322, "note")]
    assert {row.values["note"] for row in rows if isinstance(row, Row)} == {"ä"}


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array(["a", None, ""]), ["a", None, ""]),
        (pa.array(["a", None, ""]).dictionary_encode(), ["a", None, ""]),
        (pa.array(["a", None, ""], pa.large_string()), ["a", None, ""]),
        (pa.array(["a", None, ""], pa.string_view()), ["a", None, ""]),
        (pa.array([1, None, 2**64 - 1], pa.uint64()), [1, None, 2**64 - 1]),
        (pa.array([True, None, False]), [True, None, False]),
        (pa.nulls(3), [None] * 3),
        (pa.array([0.5, float("nan"), None]), [0.5, None, None]),
        (pa.array([Decimal("0.10"), None, Decimal(2)], pa.decimal128(9, 2)), ["0.10", None, "2.00"]),
        (pa.array([date(2026, 1, 2), None, None]), ["2026-01-02", None, None]),
        (pa.array([[1], [], None]), [[1], [], None]),
    ],
    ids=lambda given: str(given.type) if isinstance(given, pa.Array) else "",
)
def test_columns_of_any_type_become_what_a_catalog_holds(tmp_path: Path, column: Any, values: list[Any]) -> None:
    for beside in ({}, {"weight": pa.array([1.5, 2.5, None])}):
        rows = list(open_rows(table(tmp_path / "c.parquet", 3, given=column, **beside)))
        assert [row.values["given"] for row in rows if isinstance(row, Row)] == values


def test_a_column_whose_name_no_database_keeps_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=names("c.parquet", "column 3", r"a\x00b")):
        list(open_rows(table(tmp_path / "c.parquet", 1, **{"a\0b": pa.array(["x"])})))


def test_a_footer_that_contradicts_itself_is_an_error_and_not_the_end_of_the_process(tmp_path: Path) -> None:
    path = table(tmp_path / "c.parquet", 5, note=pa.nulls(5, pa.string()))
    data = path.read_bytes()
    levels = b"\x26\x0a\x00\x00"  # how many values are there, and how many are not: two numbers
    assert data.count(levels) == 1
    data = data.replace(levels, b"\x16\x0a\x00")
    length = int.from_bytes(data[-8:-4], "little") - 1
    path.write_bytes(data[:-8] + length.to_bytes(4, "little") + data[-4:])
    with pytest.raises(CatalogError, match=names("c.parquet", "Parquet")):
        list(open_rows(path))


@pytest.mark.parametrize(
    "options",
    [{}, {"row_group_size": 7}, {"version": "1.0"}, {"write_page_index": True}, {"write_statistics": False}],
)
def test_a_footer_says_what_pyarrow_says(tmp_path: Path, options: dict[str, Any]) -> None:
    path = tmp_path / "c.parquet"
    made = {"n": [1.5] * 100, "l": [["x"] * 3] * 100, "d": [{"yes": True, "m": "x"}] * 100, "b": [True, None] * 50}
    parquet.write_table(pa.table(made), path, **options)
    metadata = parquet.ParquetFile(path).metadata
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    said = [(group.num_rows, [group.column(number) for number in range(group.num_columns)]) for group in groups]
    with path.open("rb") as file:
        found = [(group.rows, group.chunks) for group in row_groups(file)]
    assert found == [
        (rows, [(each.num_values, each.total_uncompressed_size) for each in chunks]) for rows, chunks in said
    ]


@pytest.mark.heavy
def test_large_rows_are_read_in_smaller_portions(tmp_path: Path) -> None:
    text = "x" * (1 << 20)
    path = table(tmp_path / "c.parquet", 2_000, note=repeated(text, 2_000), tags=pa.array([[text[:10]], None] * 1_000))
    number = 0
    with taken() as memory:
        for number, row in enumerate(open_rows(path), start=1):
            assert isinstance(row, Row)
            assert (row.line, row.values["key"], len(row.values["note"])) == (number, str(number - 1), len(text))
    assert number == 2_000
    assert memory.bytes < ALLOWED_GROWTH
