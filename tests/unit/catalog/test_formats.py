"""Catalogs in every format, from every place: the same rows, and a clear word where there are none."""

from __future__ import annotations

import gzip
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from catalog import files, lines
from catalog.columns import Row
from catalog.errors import CatalogError, Mistake
from catalog.rows import open_rows
from catalog.tables import TableRows
from tests.words import names, unsaid

RECORDS: list[dict[str, Any]] = [
    {"key": "Größe-1", "kind": "swap", "source": "a.png", "target": "b.png", "sku": 7},
    {"key": "2", "kind": "swap", "source": "a.png", "target": "鞋.png", "sku": None},
]
VALUES = [{name: value for name, value in record.items() if value is not None} for record in RECORDS]


def values(found: Any) -> list[dict[str, Any]]:
    rows = list(found)
    assert all(isinstance(row, Row) for row in rows), rows
    return [{name: value for name, value in row.values.items() if value not in ("", None)} for row in rows]  # noqa: PD011 - no frame


def as_lines() -> bytes:
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in RECORDS).encode()


def as_csv() -> bytes:
    lines = [",".join(str("" if value is None else value) for value in record.values()) for record in RECORDS]
    return "\n".join([",".join(RECORDS[0]), *lines]).encode()


@pytest.mark.parametrize("ending", [".csv", ".CSV.GZ", ".jsonl", ".ndjson.gz", ".jsonl.gz", ".parquet"])
def test_the_same_rows_in_every_format(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"spring{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.Table.from_pylist(RECORDS), path)
    else:
        data = (as_csv if "csv" in ending.lower() else as_lines)()
        path.write_bytes(gzip.compress(data) if ending.lower().endswith(".gz") else data)
    rows = open_rows(path)
    assert (rows.name, rows.base) == ("spring", str(tmp_path))
    found = values(rows)
    assert [{**each, "sku": int(each["sku"])} if "sku" in each else each for each in found] == VALUES
    assert values(rows) == found  # read again from its beginning


@pytest.mark.parametrize(
    "table",
    [
        RECORDS,
        (dict(record) for record in RECORDS),
        pd.DataFrame(RECORDS).astype({"sku": "Int64"}),
        pl.DataFrame(RECORDS),
    ],
    ids=["mappings", "generator", "pandas", "polars"],
)
def test_the_same_rows_from_memory(table: Any) -> None:
    assert values(TableRows(table, "spring")) == VALUES


def test_parquet_values_become_what_a_catalog_holds(tmp_path: Path) -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    record = {
        "key": "1", "kind": "swap", "at": moment, "on": date(2026, 1, 31), "price": Decimal("1.50"),
        "share": float("nan"), "tags": ["a", "b"], "yes": True,
    }  # fmt: skip
    parquet.write_table(pa.Table.from_pylist([record]), tmp_path / "c.parquet")
    (found,) = values(open_rows(tmp_path / "c.parquet"))
    assert found == {
        "key": "1", "kind": "swap", "at": "2026-01-31T12:00:00+00:00", "on": "2026-01-31", "price": "1.50",
        "tags": ["a", "b"], "yes": True,
    }  # fmt: skip


def test_options_of_parquet_hold_what_the_row_has_and_not_the_fields_of_others(tmp_path: Path) -> None:
    rows = [
        {"key": "1", "kind": "swap", "options": {"batch": 2}},
        {"key": "2", "kind": "swap", "options": {"fit": "crop"}},
    ]
    schema = pa.schema(
        [
            ("key", pa.string()),
            ("kind", pa.string()),
            ("options", pa.struct([("batch", pa.int64()), ("fit", pa.string())])),
        ]
    )
    parquet.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "c.parquet")
    assert [row["options"] for row in values(open_rows(tmp_path / "c.parquet"))] == [{"batch": 2}, {"fit": "crop"}]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("a\x00b", names("NUL")),
        ("\ud800", names("surrogate")),
        ({"deep": ["\x00"]}, names("NUL")),
        (b"bytes", names("bytes")),
        (object(), names("object")),
    ],
)
def test_values_that_no_catalog_holds_are_mistakes(value: Any, message: str) -> None:
    rows = [{"key": "1", "kind": "swap", "note": value}, {"key": "2", "kind": "swap"}]
    mistake, row = TableRows(rows, "t")
    assert isinstance(mistake, Mistake)
    assert (mistake.line, mistake.column) == (1, "note")
    assert re.search(message, mistake.message)
    assert row == Row(2, rows[1])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("text", names("str", "mapping")),
        ({1: "x"}, names("1")),
        ({"Key": "1"}, names("key")),
    ],
)
def test_rows_that_are_none(row: Any, message: str) -> None:
    (mistake,) = TableRows([row], "t")
    assert isinstance(mistake, Mistake)
    assert re.search(message, mistake.message)


@pytest.mark.parametrize("table", ["path.csv", {"key": "1"}, 7])
def test_tables_that_are_none(table: Any) -> None:
    with pytest.raises(CatalogError, match=names("mappings")):
        TableRows(table, "t")


def test_a_frame_without_our_columns() -> None:
    with pytest.raises(CatalogError, match=names("kind")):
        list(TableRows(pl.DataFrame({"key": ["1"]}), "t"))


def test_a_program_s_paths_are_taken_and_its_infinite_numbers_are_refused() -> None:
    table = [
        {"key": "1", "kind": "swap", "source": Path("a.png"), "weight": float("nan")},
        {"key": "2", "kind": "swap", "options": {"weight": float("inf")}},
        {"key": "3", "kind": "swap", "weight": np.float64("-inf")},
    ]
    good, *bad = TableRows(table, "t")
    assert isinstance(good, Row)
    assert (good.values["source"], good.values["weight"]) == ("a.png", None)  # noqa: PD011 - a row of ours
    assert [(each.line, each.column) for each in bad if isinstance(each, Mistake)] == [(2, "options"), (3, "weight")]


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_rows_that_hold_nothing_are_left_out_and_told(tmp_path: Path, ending: str) -> None:
    records: list[dict[str, Any]] = [*RECORDS, {}, {"key": "", "sku": None}]
    path = tmp_path / f"c{ending}"
    if ending == ".parquet":
        parquet.write_table(pa.Table.from_pylist(records), path)
    elif ending == ".csv":
        path.write_bytes(as_csv() + b"\n,,,,\n,,,,\n")
    else:
        path.write_text("".join(json.dumps(record) + "\n" for record in records))
    rows = open_rows(path)
    assert [row["key"] for row in values(rows)] == [record["key"] for record in RECORDS]
    assert unsaid(" ".join(rows.notes), "2 blank rows") == []


def test_files_that_are_damaged(tmp_path: Path) -> None:
    whole = gzip.compress(as_csv() * 100)
    for name, data, message in [
        ("a.csv.gz", whole[:-20], names("gzip")),
        ("b.csv.gz", b"key,kind\n", names("gzip")),
        ("c.parquet", b"PAR1 and no more", names("Parquet")),
        ("d.csv", b"key,kind\n" + b"x" * (5 << 20), names("4 MiB")),
    ]:
        (tmp_path / name).write_bytes(data)
        with pytest.raises(CatalogError, match=message):
            list(open_rows(tmp_path / name))


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_gzip_file_unpacks_to_no_more_than_its_size_can_mean(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_UNPACKED_BYTES", 1 << 18)
    path = tmp_path / f"c{ending}.gz"
    path.write_bytes(gzip.compress(b"\n" * (1 << 20)))
    with pytest.raises(CatalogError, match=names(path.name, "262,144", "unpack")):
        list(open_rows(path))


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_file_has_no_more_lines_than_people_write(
    tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "MAX_LINES", 1_000)
    (tmp_path / f"c{ending}").write_text("\n" * 1_001)
    with pytest.raises(CatalogError, match=names(f"c{ending}", "1,000 lines")):
        list(open_rows(tmp_path / f"c{ending}"))


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("c.numbers", names(".numbers", ".xlsx", ".csv")),
        ("c.parquet.gz", names(".parquet.gz")),
        ("ftp://x/c.csv", names("ftp://", "s3://", "https://")),
        ("gone.csv", names("gone.csv")),
        ("gone", names("gone", "no such file or folder", ".csv")),
    ],
)
def test_places_that_hold_no_catalog(place: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        open_rows(place)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_catalog_at_an_address(tmp_path: Path, address: str) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "spring.csv.gz").write_bytes(gzip.compress(as_csv()))
    rows = open_rows(f"{address}/in/spring.csv.gz?token=secret")
    assert (rows.name, rows.base, rows.where) == ("spring", f"{address}/in", f"{address}/in/spring.csv.gz")
    assert [row["key"] for row in values(rows)] == ["Größe-1", "2"]
    with pytest.raises(CatalogError, match=names("gone.csv")) as caught:
        list(open_rows(f"{address}/gone.csv?token=secret"))
    assert "secret" not in str(caught.value)
