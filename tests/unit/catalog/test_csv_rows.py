"""CSV as people's spreadsheets write it: taken as it is meant, with a note of what was done."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.columns import MAX_COLUMNS, Row
from catalog.errors import CatalogError, Mistake
from catalog.rows import open_rows
from tests.words import names, unsaid

HEADER = "key,kind,source,target"
ROWS = [{"key": "a", "kind": "swap", "source": "faces/a.jpg", "target": "faces/b.png"}]
PLAIN = f"{HEADER}\na,swap,faces/a.jpg,faces/b.png\n"


def read(path: Path, content: str | bytes) -> tuple[list[Row | Mistake], list[str]]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    rows = open_rows(path)
    return list(rows), list(rows.notes)


def tabs(text: str) -> str:
    return text.replace(",", "\t")


@pytest.mark.parametrize(
    ("content", "notes"),
    [
        (PLAIN, []),
        (PLAIN + ",,,\n,,,\n", ["2 blank rows"]),
        ("\n" + PLAIN, ["1 blank row"]),
        ('\ufeff\r\n,,,\r\n"",,"",\r\n \u00a0,\r\n' + PLAIN, ["4 blank rows"]),
        ("sep=;\n;;;\n" + PLAIN.replace(",", ";"), ["semicolons", "1 blank row"]),
        ((tabs(",,,\n") + tabs(PLAIN)).encode("utf-16"), ["tabs", "1 blank row"]),
        (PLAIN.replace("\na", "\n,,,\n \t,,,\na") + '"",,"",\n,\n', ["4 blank rows"]),
        (PLAIN.replace("\n", ",\n"), ["1 blank column"]),
        (PLAIN.replace("\n", ", ,,\n") + ",,,,,,\n", ["1 blank row", "3 blank columns"]),
        (PLAIN.replace("png\n", "png,,\n"), []),
        (PLAIN.replace("\n", "\r"), []),
        (PLAIN.replace("\n", "\r\n"), []),
        (b"\xef\xbb\xbf" * 2 + PLAIN.encode(), []),
        ("\ufeff\u200b" + PLAIN, []),
        (PLAIN.replace("kind", "\u200bkind\u00a0\ufeff").replace("target", " target\u2060"), []),
        ("\ufeff" + PLAIN.replace("key", '"key"'), []),
        ("sep=,\n" + PLAIN, []),
        ("\ufeffsep=;\r\n" + PLAIN.replace(",", ";"), ["semicolons"]),
        ('"sep=|"\n' + PLAIN.replace(",", "|"), ["|"]),
        (PLAIN.replace(",", ";"), ["semicolons"]),
        (PLAIN.replace(",", ";") + ";;;\n", ["semicolons", "1 blank row"]),
        (tabs(PLAIN), ["tabs"]),
        (tabs(PLAIN).encode("utf-16"), ["tabs"]),
        (b"\xfe\xff" + PLAIN.encode("utf-16-be"), []),
        (PLAIN.encode("utf-16-be"), []),
        (tabs(PLAIN).encode("utf-16-le"), ["tabs"]),
        (PLAIN.replace(",", "|"), ["bars"]),
        (PLAIN.replace(",", "|") + "|||\n", ["bars", "1 blank row"]),
        (b"\xff\xfe" + tabs(PLAIN).replace("\n", "\r\n").encode("utf-16-le"), ["tabs"]),
        (b"\xff\xfe" + PLAIN.replace("\n", "\r").encode("utf-16-le"), []),
    ],
)
def test_a_table_is_taken_as_it_is_meant(tmp_path: Path, content: str | bytes, notes: list[str]) -> None:
    rows, told = read(tmp_path / "c.csv", content)
    assert [row.values for row in rows if isinstance(row, Row)] == ROWS
    assert len(rows) == len(ROWS)
    assert unsaid(" ".join(told), *notes) == []
    assert bool(told) == bool(notes)


@pytest.mark.parametrize("ending", [".txt", ".tsv"])
def test_a_spreadsheets_unicode_text_is_a_table_too(tmp_path: Path, ending: str) -> None:
    rows, _ = read(tmp_path / f"c{ending}", tabs(PLAIN).encode("utf-16"))
    assert [row.values for row in rows if isinstance(row, Row)] == ROWS


def test_lines_are_counted_as_an_editor_counts_them(tmp_path: Path) -> None:
    body = f'sep=,\n{HEADER}\n\n,,,\na,swap,"x\ny",z\nb,swap,x\n'
    for content in (body, body.replace("\n", "\r"), b"\xff\xfe" + body.encode("utf-16-le")):
        rows, _ = read(tmp_path / "c.csv", content)
        assert [row.line for row in rows] == [5, 7]
        assert isinstance(rows[1], Mistake)


def test_lines_are_counted_with_blank_rows_above_the_header(tmp_path: Path) -> None:
    rows, _ = read(tmp_path / "c.csv", "\n,,,\n" + PLAIN + "b,swap\n")
    assert [row.line for row in rows] == [4, 5]
    with pytest.raises(CatalogError, match=names("c.csv:3", "key")):
        read(tmp_path / "c.csv", "\n,,,\n" + PLAIN.replace("key", "id"))


def test_a_line_feed_within_a_cell_ends_no_row_of_a_file_with_carriage_returns(tmp_path: Path) -> None:
    rows, _ = read(tmp_path / "c.csv", 'key,kind,"a\nnote"\r1,swap,"one\ntwo"\r')
    assert [row.values for row in rows if isinstance(row, Row)] == [{"key": "1", "kind": "swap", "a\nnote": "one\ntwo"}]


def test_only_the_header_decides_what_separates_columns(tmp_path: Path) -> None:
    rows, told = read(tmp_path / "c.csv", 'key,kind,note;more\n1,swap,a;b;c\n2,swap,"a\tb"\n')
    assert [row.values["note;more"] for row in rows if isinstance(row, Row)] == ["a;b;c", "a\tb"]
    assert told == []


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (PLAIN + 'b,swap,"a.jpg,b.png\n' + "c,swap,a.jpg,b.png\n" * 3, ["c.csv:3", "quote"]),
        (PLAIN + 'b,swap,"a.jpg,b.png\nc,swap,"a.jpg",b.png\n', ["c.csv:3", "quote"]),
        (PLAIN + 'b,swap,"' + "c,swap,a.jpg,b.png\n" * 10_000, ["c.csv:3", "131,072"]),
        (PLAIN + "b,swap,a.jpg,b.png\rc,swap,a.jpg,b.png\r", ["c.csv:3", "carriage return", "line feed"]),
        (PLAIN.replace("key", "Handle"), ["c.csv:1", "key", "'Handle'", "'target'"]),
        ('"key,kind,source,target"\n', ["c.csv:1", "'key,kind,source,target'"]),
        ("sep=;\n" + PLAIN, ["c.csv:2", "'key,kind,source,target'"]),
        (PLAIN.replace("target", "#NAME?"), ["c.csv:1", "column 4", "#NAME?"]),
        (b"PK\x03\x04\x14\x00", ["c.csv", ".xlsx"]),
        (b"\x1f\x8b\x08\x00", ["c.csv", "gzip", ".csv.gz"]),
        (b"PAR1\x15\x04", ["c.csv", "Parquet", ".parquet"]),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", ["c.csv", ".xlsx", "password"]),
    ],
)
def test_what_cannot_be_read_is_told_with_the_line_on_which_it_begins(
    tmp_path: Path, content: str | bytes, facts: list[str]
) -> None:
    with pytest.raises(CatalogError, match=names(*facts)):
        read(tmp_path / "c.csv", content)


def test_a_value_below_no_name_is_told_with_its_line_and_column(tmp_path: Path) -> None:
    rows, _ = read(tmp_path / "c.csv", "key,kind,\n1,swap,\n2,swap,x\n")
    assert isinstance(rows[1], Mistake)
    assert (rows[1].line, unsaid(rows[1].message, "column 3")) == (3, [])


@pytest.mark.heavy
@pytest.mark.parametrize("count", [MAX_COLUMNS + 1, 100_000, 400_000])
def test_a_wide_header_is_refused_at_once(tmp_path: Path, count: int) -> None:
    header = ",".join(["key", "kind", *(f"c{number}" for number in range(count - 2))])
    with pytest.raises(CatalogError, match=names(f"{count:,}", f"{MAX_COLUMNS:,}")):
        read(tmp_path / "c.csv", f"{header}\n")


def test_a_wide_object_is_searched_for_a_name_twice_in_linear_time(tmp_path: Path) -> None:
    pairs = [f'"c{number}": 0' for number in range(200_000)]
    rows, _ = read(tmp_path / "c.jsonl", "{" + ", ".join([*pairs, '"c199999": 1']) + "}\n")
    assert isinstance(rows[0], Mistake)
    assert unsaid(rows[0].message, "c199999") == []


@pytest.mark.parametrize("name", ["c.xlsb", "c.xls", "c.ods"])
def test_a_spreadsheets_own_file_is_told_what_to_save_it_as(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04")
    with pytest.raises(CatalogError, match=names(name, "CSV UTF-8")):
        open_rows(tmp_path / name)
