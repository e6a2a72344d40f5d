from __future__ import annotations

import json
from pathlib import Path

import pytest

from catalog.columns import Row
from catalog.errors import CatalogError, Mistake
from catalog.rows import open_rows, parse_json


def read(path: Path, content: str | bytes) -> list[Row | Mistake]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return list(open_rows(path))


def test_csv_rows_carry_the_line_they_begin_on(tmp_path: Path) -> None:
    content = 'key,kind,prompt\n1,swap,"two\nlines"\n\n2,swap,last\n'
    assert read(tmp_path / "c.csv", content) == [
        Row(2, {"key": "1", "kind": "swap", "prompt": "two\nlines"}),
        Row(5, {"key": "2", "kind": "swap", "prompt": "last"}),
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_csv_as_spreadsheets_write_it(tmp_path: Path, ending: str, mark: bytes) -> None:
    content = ending.join(["key , kind", 'schön,"a ""quoted"" one"', ""])
    assert read(tmp_path / "c.csv", mark + content.encode()) == [Row(2, {"key": "schön", "kind": 'a "quoted" one'})]


def test_a_row_with_too_few_or_too_many_fields_is_a_mistake_and_not_the_end(tmp_path: Path) -> None:
    first, second, third = read(tmp_path / "c.csv", "key,kind\n1\n2,swap,more\n3,swap\n")
    assert first == Mistake(2, "", "has 1 fields, but the header has 2 columns")
    assert second == Mistake(3, "", "has 3 fields, but the header has 2 columns")
    assert third == Row(4, {"key": "3", "kind": "swap"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is empty; the first line names the columns"),
        (b"kind,source\n", r":1: missing in the header: key; the columns are key, kind"),
        (b"key,kind,key\n", r":1: twice in the header: key"),
        (b"key,kind,,x\n", r":1: column 3 has no name"),
        (b"key,kind,Source\n", r":1: column 'Source': write it 'source'"),
        (b"key;kind;source\n", r":1: the columns are not separated by commas"),
        (b"key,kind\n1,swap\n2,sw\xe4p\n", r":3: is not UTF-8 \(byte 5 of the line is 0xe4\); save it as UTF-8"),
        ("key,kind\n1,swap\n".encode("utf-16"), r"is encoded as UTF-16; save it as UTF-8"),
        (b"key,kind\n1,sw\x00ap\n", r":2: has a NUL character"),
        (b'key,kind\n1,"swap\n', r"not readable as CSV"),
        (b"key,kind\n1," + b"x" * 200_000 + b"\n", r":2: not readable as CSV: field larger"),
    ],
)
def test_csv_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        read(tmp_path / "c.csv", content)


def test_json_lines(tmp_path: Path) -> None:
    row = {"key": 1, "kind": "swap", "options": {"batch": 2}, "tags": ["a", None, 1.5]}
    assert read(tmp_path / "c.jsonl", "\n" + json.dumps(row) + "\n") == [Row(2, row)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "is not valid JSON"),
        ("[1]", "is not a JSON object"),
        ('{"key": NaN}', "has NaN, which is no JSON value"),
        ('{"key": 1, "key": 2}', "names 'key' twice"),
        ('{"key": "a\\u0000b"}', "holds a NUL character"),
        ('{"x": {"y": ["\\ud800"]}}', "holds a NUL character or half of a surrogate pair"),
        ('{"key": 1, "Kind": "swap"}', "write this column 'kind'"),
        ('{"key": ' + "1" * 5_000 + "}", "integer"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_json_line_that_says_nothing_is_a_mistake_and_not_the_end(tmp_path: Path, line: str, message: str) -> None:
    found = read(tmp_path / "c.jsonl", f'{line}\n{{"key": "2"}}\n')
    assert isinstance(found[0], Mistake)
    assert (found[0].line, message in found[0].message) == (1, True), found[0]
    assert found[1] == Row(2, {"key": "2"})


def test_an_escaped_backslash_before_u_is_no_escape() -> None:
    assert parse_json(r'"C:\\u0000"') == r"C:\u0000"


@pytest.mark.parametrize(
    ("name", "message"),
    [("c.xlsx", "'.xlsx' is no catalog; allowed: .csv"), ("c", "'no ending' is no catalog"), ("c.csv", "no such file")],
)
def test_files_that_are_no_catalog(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        open_rows(tmp_path / name)


def test_a_folder_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(CatalogError, match="this is a folder"):
        open_rows(tmp_path / "c.csv")
