"""Small Parquet files that would unpack to gigabytes: refused from their metadata, or read in small portions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from catalog import parquet as reader
from catalog.columns import MAX_COLUMNS, Row
from catalog.errors import CatalogError
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
    with pytest.raises(CatalogError, match=names("c.parquet", f"{reader.MAX_UNPACKED_BYTES:,}")):
        list(open_rows(path))


def test_too_many_rows_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MAX_ROWS", 99)
    with pytest.raises(CatalogError, match=names("100", "99")):
        list(open_rows(table(tmp_path / "c.parquet", 100)))


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
