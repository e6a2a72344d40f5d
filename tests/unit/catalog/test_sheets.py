"""Workbooks as catalogs: what people see in the spreadsheet is what is read, and what they do not see is told."""

from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from catalog.columns import Row
from catalog.errors import CatalogError, Mistake
from catalog.rows import open_rows
from tests.unit.catalog.workbooks import (
    DATE,
    DURATION,
    MOMENT,
    OWN_DATE,
    OWN_NUMBER,
    ZEROS,
    Raw,
    parts_of,
    sheet_of,
    write_parts,
    write_workbook,
)
from tests.words import names, unsaid
from workers.jobs.run_options import Format, RunOptions

HEADER = ["key", "kind", "sku"]


def read(path: Path, **options: Any) -> list[Row | Mistake]:
    return list(open_rows(path, options=RunOptions(**options)))


def one(tmp_path: Path, value: Any, **more: Any) -> Any:
    """What a cell of a metadata column becomes."""
    (row,) = read(write_workbook(tmp_path / "c.xlsx", [HEADER, ["1", "swap", value]], **more))
    return row.values["sku"] if isinstance(row, Row) else row


@pytest.mark.parametrize(
    ("cell", "seen"),
    [
        (3, 3), (3.0, 3), (0.1, 0.1), (-2, -2), (Raw("><v>1E+20</v>"), 1e20), (Raw("><v>007</v>"), 7),
        (True, True), (False, False), ("text", "text"), (" kept ", " kept "),
        (Raw(f's="{DATE}"><v>45000</v>'), "2023-03-15"), (Raw(f's="{DATE}"><v>45000.25</v>'), "2023-03-15T06:00:00"),
        (Raw(f's="{MOMENT}"><v>45000.5</v>'), "2023-03-15T12:00:00"),
        (Raw(f's="{OWN_DATE}"><v>45000</v>'), "2023-03-15"),
        (Raw(f's="{MOMENT}"><v>0.75</v>'), "18:00:00"), (Raw(f's="{DURATION}"><v>1.5</v>'), "36:00:00"),
        (Raw(f's="{DATE}"><v>1</v>'), "1900-01-01"), (Raw(f's="{DATE}"><v>61</v>'), "1900-03-01"),
        (Raw(f's="{OWN_NUMBER}"><v>2.5</v>'), 2.5), (Raw(f's="{DATE}"><v>1e300</v>'), 1e300),
        (Raw(f's="{ZEROS}"><v>123</v>'), "00123"), (Raw(f's="{ZEROS}"><v>1234567</v>'), "1234567"),
        (Raw(f's="{ZEROS}"><v>1.5</v>'), 1.5),
        (Raw('t="d"><v>2024-02-29T00:00:00</v>'), "2024-02-29"),
        (Raw('t="str"><f>A2&amp;"x"</f><v>1x</v>'), "1x"), (Raw("><f>1+1</f><v>2</v>"), 2),
        (Raw('t="str"><f>""</f><v></v>'), ""), (Raw('t="inlineStr"><is><r><t>ri</t></r><r><t>ch</t></r></is>'), "rich"),
        (Raw('t="inlineStr"><is><t>a_x000D_b_x005F_</t></is>'), "a\rb_"),
    ],
)  # fmt: skip
def test_a_cell_is_what_people_see(tmp_path: Path, cell: Any, seen: Any) -> None:
    found = one(tmp_path, cell)
    assert (found, type(found)) == (seen, type(seen))


def test_days_are_counted_from_1904_where_the_file_says_so(tmp_path: Path) -> None:
    cell = Raw(f's="{DATE}"><v>43538</v>')
    assert one(tmp_path, cell, properties='<workbookPr date1904="1"/>') == "2023-03-15"


def test_shared_texts_are_found_without_how_they_are_pronounced(tmp_path: Path) -> None:
    texts = "<si><t>a</t></si><si><r><t>東</t></r><r><t>京</t></r><rPh><t>トウキョウ</t></rPh></si><si/>"
    rows: list[list[Any]] = [
        HEADER,
        ["1", Raw('t="s"><v>0</v>'), Raw('t="s"><v>1</v>')],
        ["2", "swap", Raw('t="s"><v>2</v>')],
    ]
    found = read(write_workbook(tmp_path / "c.xlsx", rows, texts=texts))
    assert [row.values for row in found if isinstance(row, Row)] == [
        {"key": "1", "kind": "a", "sku": "東京"}, {"key": "2", "kind": "swap", "sku": ""}
    ]  # fmt: skip


def test_what_recast_reads_is_text_as_in_csv(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        ["key", "kind", "prompt", "price"],
        [7, "generate", 2024.0, 2024.0],
        [8.5, "generate", True, True],
    ]
    found = [row.values for row in read(write_workbook(tmp_path / "c.xlsx", rows)) if isinstance(row, Row)]
    assert found == [
        {"key": "7", "kind": "generate", "prompt": "2024", "price": 2024},
        {"key": "8.5", "kind": "generate", "prompt": "TRUE", "price": True},
    ]


def test_blank_rows_and_columns_are_left_out_and_told(tmp_path: Path) -> None:
    rows: list[list[Any]] = [
        [],
        [None, " "],
        ["key ", "kind", None, ""],
        ["1", "swap", None, " "],
        [None, " ", None],
        ["2", "swap"],
        [" "],
        [""],
    ]
    catalog = open_rows(write_workbook(tmp_path / "c.xlsx", rows))
    assert list(catalog) == [Row(4, {"key": "1", "kind": "swap"}), Row(6, {"key": "2", "kind": "swap"})]
    assert unsaid(" ".join(catalog.notes), "2", "blank", "rows") == []


def test_rows_that_a_filter_hides_are_taken_and_told(tmp_path: Path) -> None:
    sheet = sheet_of([HEADER, ["1", "swap"], ["2", "swap"], [" "], ["3", "swap"]])
    for number in (3, 4, 5):
        sheet = sheet.replace(f'<row r="{number}"', f'<row r="{number}" hidden="1"')
    catalog = open_rows(write_parts(tmp_path / "c.xlsx", parts_of({"S": sheet})))
    assert [row.values["key"] for row in catalog if isinstance(row, Row)] == ["1", "2", "3"]
    assert unsaid(" ".join(catalog.notes), "1 blank row", "2 rows", "hidden") == []


@pytest.mark.parametrize(
    ("row", "after", "line", "column", "facts"),
    [
        (["1", "swap", Raw("><f>NOW()</f>")], "", 2, "sku", ("formula",)),
        (["1", "swap", Raw("><f>NOW()</f><v></v>")], "", 2, "sku", ("formula",)),
        (["1", "swap", Raw("><f>NOW()</f><v/>")], "", 2, "sku", ("formula",)),
        ([Raw("><f>B1</f><v/>"), Raw("><f>C1</f><v/>"), Raw("><f>D1</f><v/>")], "", 2, "key", ("formula",)),
        (["1", "swap", "x", None, "y"], "", 2, "", ("E",)),
        (["1", "swap", "x"], '<mergeCells><mergeCell ref="C2:C3"/></mergeCells>', 2, "sku", ("C2:C3", "merged")),
        (["1", "swap", "x"], '<mergeCells><mergeCell ref="B1:C4"/></mergeCells>', 2, "kind", ("B1:C4",)),
        (["1", "swap", Raw("><v>1e999</v>")], "", 2, "sku", ("infinite",)),
        (["1", "swap", Raw('t="inlineStr"><is><t>_x0000_</t></is>')], "", 2, "sku", ("NUL",)),
    ],
)
def test_what_a_row_cannot_mean_is_its_mistake(
    tmp_path: Path, row: list[Any], after: str, line: int, column: str, facts: Sequence[str]
) -> None:
    found = read(write_workbook(tmp_path / "c.xlsx", [HEADER, row, ["2", "swap", "z"]], after))
    (mistake,) = [each for each in found if isinstance(each, Mistake)]
    assert (mistake.line, mistake.column) == (line, column)
    assert unsaid(mistake.message, *facts) == []


def test_a_header_that_was_not_computed_is_told_with_its_column(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=names("c.xlsx:1", "column C", "formula")):
        read(write_workbook(tmp_path / "c.xlsx", [["key", "kind", Raw("><f>NOW()</f><v/>")], ["1", "swap", "x"]]))


def test_merged_titles_beside_the_columns_are_no_mistake(tmp_path: Path) -> None:
    after = '<mergeCells><mergeCell ref="A1:C1"/><mergeCell ref="E2:F9"/></mergeCells>'
    assert read(write_workbook(tmp_path / "c.xlsx", [HEADER, ["1", "swap", "x"]], after)) == [
        Row(2, {"key": "1", "kind": "swap", "sku": "x"})
    ]


@pytest.mark.parametrize("shown", ["#REF!", "#N/A", "#DIV/0!"])
def test_a_failed_formula_stays_for_the_check_of_rows(tmp_path: Path, shown: str) -> None:
    assert one(tmp_path, Raw(f't="e"><f>A9</f><v>{shown}</v>')) == shown


def book_of_three(path: Path) -> Path:
    rows = {name: sheet_of([HEADER, [name, "swap"]]) for name in ("Hidden", "Spring", "Summer")}
    return write_parts(path, parts_of(rows, hidden=["Hidden"]))


def test_the_first_sheet_that_people_see_is_read_or_the_one_that_is_named(tmp_path: Path) -> None:
    path = book_of_three(tmp_path / "c.xlsx")
    catalog = open_rows(path)
    assert [row.values["key"] for row in catalog if isinstance(row, Row)] == ["Spring"]
    assert unsaid(" ".join(catalog.notes), "Spring", "Summer", "--sheet") == []
    for name in ("Summer", "Hidden"):
        assert [row.values["key"] for row in read(path, sheet=name) if isinstance(row, Row)] == [name]
    with pytest.raises(CatalogError, match=names("--sheet", "Autumn", "Spring", "Summer", "Hidden")):
        read(path, sheet="Autumn")
    (tmp_path / "c.csv").write_text("key,kind\n1,swap\n")
    with pytest.raises(CatalogError, match=names("--sheet", "xlsx")):
        read(tmp_path / "c.csv", sheet="Spring")


@pytest.mark.parametrize("format_", ["csv", "tsv", "jsonl", "xlsx", "parquet"])
def test_a_file_without_an_ending_is_read_in_the_format_that_is_said(tmp_path: Path, format_: str) -> None:
    path = tmp_path / "spring.v2"
    if format_ == "xlsx":
        write_workbook(path, [HEADER, ["1", "swap", "x"]])
    elif format_ == "parquet":
        pa, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        parquet.write_table(pa.table({"key": ["1"], "kind": ["swap"], "sku": ["x"]}), path)
    else:
        path.write_text(
            {
                "csv": "key,kind,sku\n1,swap,x\n", "tsv": "key\tkind\tsku\n1\tswap\tx\n",
                "jsonl": '{"key": "1", "kind": "swap", "sku": "x"}\n',
            }[format_]
        )  # fmt: skip
    with pytest.raises(CatalogError, match=names(".v2", "--format")):
        open_rows(path)
    (row,) = read(path, format=Format(format_))
    assert isinstance(row, Row)
    assert row.values == {"key": "1", "kind": "swap", "sku": "x"}


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (b"", ("workbook",)), (b"PK\x03\x04 and nothing more", ("workbook",)), (b"key,kind\n1,swap\n", ("workbook",)),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(512), ("password", ".xlsx")),
    ],
)  # fmt: skip
def test_files_that_are_no_workbooks(tmp_path: Path, content: bytes, facts: Sequence[str]) -> None:
    (tmp_path / "c.xlsx").write_bytes(content)
    with pytest.raises(CatalogError, match=names("c.xlsx", *facts)):
        read(tmp_path / "c.xlsx")


@pytest.mark.heavy
def test_memory_does_not_grow_with_the_rows(tmp_path: Path) -> None:
    texts = "".join(f"<si><t>a text of row {number} that no other has</t></si>" for number in range(20_000))
    peaks = []
    for count in (2_000, 20_000):
        rows: list[list[Any]] = [HEADER, *([number, "swap", Raw(f't="s"><v>{number}</v>')] for number in range(count))]
        write_workbook(tmp_path / "c.xlsx", rows, texts=texts)
        tracemalloc.start()
        assert sum(1 for _ in open_rows(tmp_path / "c.xlsx")) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5
