from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from catalog.columns import Row
from catalog.errors import CatalogError, Mistake
from catalog.rows import open_rows, parse_json
from tests.words import names, unsaid


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
    for line, fields, mistake in ((2, 1, first), (3, 3, second)):
        assert isinstance(mistake, Mistake)
        assert (mistake.line, mistake.column, unsaid(mistake.message, fields, 2)) == (line, "", [])
    assert third == Row(4, {"key": "3", "kind": "swap"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", names("empty")),
        (b"kind,source\n", names(":1:", "key", "kind")),
        (b"key,kind,key\n", names(":1:", "key")),
        (b"key,kind,,x\n", names(":1:", "3")),
        (b"key,kind,Source\n", names(":1:", "Source", "source")),
        (b"key;kynd;source\n", names(":1:", "kind")),
        (b"key,kind\n1,swap\n2,sw\xe4p\n", names(":3:", "UTF-8", "5", "0xe4")),
        ("key,kind\n1,swap\n".encode("utf-16") + b"\x00", names("UTF-16", "UTF-8")),
        ("key,kind\n1,swap\n".encode("utf-32"), names(":1:", "UTF-8")),
        (b"key,kind\n1,sw\x00ap\n", names(":2:", "NUL")),
        (b'key,kind\n1,"swap\n', names("CSV")),
        (b"key,kind\n1," + b"x" * 200_000 + b"\n", names(":2:", "CSV")),
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
        ("{", names("JSON")),
        ("[1]", names("JSON")),
        ('{"key": NaN}', names("NaN", "JSON")),
        ('{"key": 1, "key": 2}', names("key")),
        ('{"key": "a\\u0000b"}', names("NUL")),
        ('{"x": {"y": ["\\ud800"]}}', names("NUL", "surrogate")),
        ('{"key": 1, "Kind": "swap"}', names("kind")),
        ('{"key": ' + "1" * 5_000 + "}", names("5,000", "300")),
        ('{"key": 1, "price": 1e999}', names("1e999")),
        ('{"key": 1, "deep": [{"price": -1E+400}]}', names("-1E+400")),
        ("[" * 100_000, names("nested")),
    ],
)
def test_a_json_line_that_says_nothing_is_a_mistake_and_not_the_end(tmp_path: Path, line: str, message: str) -> None:
    found = read(tmp_path / "c.jsonl", f'{line}\n{{"key": "2"}}\n')
    assert isinstance(found[0], Mistake)
    assert found[0].line == 1
    assert re.search(message, found[0].message)
    assert found[1] == Row(2, {"key": "2"})


def test_an_escaped_backslash_before_u_is_no_escape() -> None:
    assert parse_json(r'"C:\\u0000"') == r"C:\u0000"


@pytest.mark.parametrize(
    ("name", "message"),
    [("c.ods", names(".ods", ".xlsx", ".csv")), ("c", names("c", ".csv")), ("c.csv", names("c.csv"))],
)
def test_files_that_are_no_catalog(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        open_rows(tmp_path / name)


def test_a_folder_is_no_catalog(tmp_path: Path) -> None:
    (tmp_path / "c.csv").mkdir()
    with pytest.raises(CatalogError, match=names("folder")):
        open_rows(tmp_path / "c.csv")
