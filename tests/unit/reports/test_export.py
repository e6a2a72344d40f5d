from __future__ import annotations

import codecs
import csv
import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import fsspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from catalog.errors import CatalogError
from recast.money import Money
from reports.export import Exported, write_csv, write_json_lines
from reports.pictures import names_of, safe_name, write_pictures
from reports.writing import write_table, writer_for
from tests.words import names
from workers import private
from workers.images.storage import Storage, StorageError


def job(key: str = "k", *results: dict[str, Any], **extra: Any) -> Exported:
    return Exported(
        key, "succeeded", None, None, "main", "zhiqite.swap", Money(Decimal("0.0200"), "USD"), 1, results, extra
    )


def result(index: int, key: str, *checks: str) -> dict[str, Any]:
    return {"index": index, "key": key, "uri": f"file:///p/{key}", "size": 3, "sha256": "ab", "checks": checks}


def as_csv(*jobs: Exported, metadata: list[str] | None = None) -> list[dict[str, str]]:
    file = io.StringIO()
    write_csv(file, iter(jobs), metadata or [])
    file.seek(0)
    return list(csv.DictReader(file))


def test_csv_has_the_job_its_pictures_and_the_metadata() -> None:
    (row,) = as_csv(
        job("k", result(0, "a.png"), result(1, "b.png", "blurred"), sku="A-1", tags=["x"]), metadata=["sku", "tags"]
    )
    assert row == {
        "key": "k", "state": "succeeded", "reason": "", "error": "", "account": "main", "operation": "zhiqite.swap",
        "cost": "0.02", "currency": "USD", "attempts": "1", "uris": "file:///p/a.png\nfile:///p/b.png", "sizes": "3\n3",
        "sha256": "ab\nab", "verdict": "", "reasons": "", "note": "", "reviewer": "", "reviewed_at": "",
        "checks": "blurred", "sku": "A-1", "tags": '["x"]',
    }  # fmt: skip


def test_a_metadata_column_called_like_ours_keeps_apart() -> None:
    (row,) = as_csv(job(cost="their own", currency="EUR"), metadata=["cost", "currency"])
    assert (row["cost"], row["catalog.cost"]) == ("0.02", "their own")
    assert (row["currency"], row["catalog.currency"]) == ("USD", "EUR")


@pytest.mark.parametrize("cell", ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1"])
def test_cells_that_a_spreadsheet_would_run_are_text(cell: str) -> None:
    (row,) = as_csv(job(cell, **{cell: cell}), metadata=[cell])
    assert row["key"] == row[f"'{cell}"] == f"'{cell}"


@pytest.mark.parametrize("cell", ["-5", "+49", "-0.5", "plain"])
def test_plain_numbers_and_words_stay(cell: str) -> None:
    assert as_csv(job(cell))[0]["key"] == cell


def test_json_lines_are_not_changed() -> None:
    file = io.StringIO()
    write_json_lines(file, iter([job("=1", result(0, "a.png"), sku="ü")]), ["sku"])
    line = json.loads(file.getvalue())
    assert (line["key"], line["metadata"], line["results"][0]["index"]) == ("=1", {"sku": "ü"}, 0)


def test_the_ending_decides_the_format() -> None:
    assert writer_for("a.CSV") is writer_for("s3://b/a.csv.gz") is not writer_for(Path("a.jsonl"))
    with pytest.raises(CatalogError, match=names(".xlsx", ".csv")):
        writer_for(Path("a.xlsx"))
    with pytest.raises(CatalogError, match=names("a.jsonl", "--excel", ".csv")):
        writer_for(Path("a.jsonl"), excel=True)


def test_a_mark_for_excel_is_at_the_beginning_and_only_where_it_is_asked_for(tmp_path: Path) -> None:
    for excel in (True, False):
        write_table(tmp_path / "a.csv", [job("Größe", result(0, "a.png"))], {}, excel=excel)
        data = (tmp_path / "a.csv").read_bytes()
        assert data.startswith(codecs.BOM_UTF8) == excel
        assert data.count(codecs.BOM_UTF8) == excel
        assert data.removeprefix(codecs.BOM_UTF8).startswith(b"key,")


@given(st.text(min_size=1, max_size=300).filter(str.isprintable))
def test_no_key_leaves_the_folder(key: str) -> None:
    name = safe_name(key)
    assert "/" not in name
    assert not name.startswith(".")
    assert 0 < len(name.encode()) <= 200


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_different_keys_have_different_names(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@pytest.mark.parametrize("key", ["sku-1", "Größe_42", "a.b@c+d"])
def test_a_harmless_key_is_its_own_name(key: str) -> None:
    assert safe_name(key) == key


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(str(tmp_path / "store"))


def stored(storage: Storage, data: bytes) -> str:
    return storage.put(data, sha256=hashlib.sha256(data).hexdigest(), suffix="png")


def picture_of(storage: Storage, folder: Path, key: str, *contents: bytes) -> int:
    results = [result(index, stored(storage, data)) for index, data in enumerate(contents)]
    return write_pictures(iter([job(key, *results)]), storage, folder).files


def test_pictures_bear_their_rows_key(storage: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert picture_of(storage, folder, "../../etc/passwd", b"one", b"two") == 2
    names = sorted(path.name for path in folder.iterdir())
    assert [name.partition("-")[0] for name in names] == ["_.._etc_passwd"] * 2
    assert sorted(path.read_bytes() for path in folder.iterdir()) == [b"one", b"two"]


def test_private_pictures_of_local_storage_take_no_room_and_cannot_be_edited_by_mistake(
    storage: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(private, "persons_umask", lambda: 0o077)
    picture_of(storage, tmp_path / "out", "k", b"one")
    link, original = tmp_path / "out" / "k_0.png", Path(storage.url(stored(storage, b"one")).removeprefix("file://"))
    assert link.samefile(original)
    assert link.stat().st_mode & 0o777 == 0o400


def test_a_picture_that_came_anew_replaces_the_old_one(storage: Storage, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    picture_of(storage, folder, "k", b"old")
    picture_of(storage, folder, "k", b"new")
    assert [(path.name, path.read_bytes()) for path in folder.iterdir()] == [("k_0.png", b"new")]
    assert storage.get(stored(storage, b"old")) == b"old"


def test_pictures_of_other_storage_are_copied(tmp_path: Path) -> None:
    storage = Storage("memory://export-test")
    picture_of(storage, tmp_path / "out", "k", b"one")
    picture_of(storage, tmp_path / "out", "k", b"two")
    assert (tmp_path / "out" / "k_0.png").read_bytes() == b"two"


def test_a_picture_that_is_gone_is_told(storage: Storage, tmp_path: Path) -> None:
    key = stored(storage, b"one")
    Path(storage.url(key).removeprefix("file://")).unlink()
    with pytest.raises(StorageError, match=names(key)):
        write_pictures(iter([job("k", result(0, key))]), storage, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def none() -> Iterator[Exported]:
        yield from ()

    with pytest.raises(CatalogError, match=names(tmp_path / "file" / "out")):
        write_pictures(none(), storage, tmp_path / "file" / "out")


def named(template: str, *jobs: Exported) -> list[str]:
    return [picture.name for picture in names_of(jobs, template, "spring")]


def test_a_template_names_pictures_by_what_is_known_of_them() -> None:
    one = job("../k", result(0, "a.png"), result(1, "b.jpg"), sku="A/1", n=7)
    assert named("{batch}/{n}/{index}.{ext}", one) == ["spring/7/0.png", "spring/7/1.jpg"]
    assert named("{sku}-{index}", one) == [f"{safe_name('A/1')}-{index}" for index in (0, 1)]
    assert named("{operation}@{account}_{sha256}{index}", one)[0] == "zhiqite.swap@main_ab0"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("{sku}/{index}", names("{sku}", "k", "account", "batch")),
        ("../{key}_{index}", names("folder")),
        ("/{key}_{index}", names("folder")),
        ("a//{key}{index}", names("folder")),
        ("a\\{key}{index}", names("folder")),
        ("", names("folder")),
        ("{key", "expected '}'"),
        ("{}", names("braces")),
        ("{key!r}", names("braces")),
        ("{index:03}", names("braces")),
        ("{key.upper}", names("column")),
        ("{key}", names("k", "{key}", "{index}")),
    ],
)
def test_templates_that_make_no_safe_names(template: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        named(template, job("k", result(0, "a.png"), result(1, "b.png")))


def test_a_key_made_to_look_like_another_ones_name_is_found_out() -> None:
    other = "a/b"
    with pytest.raises(CatalogError, match=names("several")):
        named("{key}_{index}", job(other, result(0, "a.png")), job(safe_name(other), result(0, "b.png")))


@pytest.mark.parametrize("place", ["folder", "memory://resumed/out"])
def test_only_missing_pictures_are_written_again(storage: Storage, tmp_path: Path, place: str) -> None:
    folder = place if "://" in place else str(tmp_path / place)
    files = fsspec.url_to_fs(folder)[0]
    contents = [b"one", b"two"]
    results = [
        {**result(index, stored(storage, data)), "sha256": hashlib.sha256(data).hexdigest()}
        for index, data in enumerate(contents)
    ]

    def written() -> int:
        return write_pictures([job("k", *results)], storage, folder).written

    assert (written(), written()) == (2, 0)
    files.rm_file(f"{files._strip_protocol(folder)}/k_1.png")
    assert (written(), written()) == (1, 0)
    # Another picture of the same size is another picture.
    results[0] = {**result(0, stored(storage, b"new")), "sha256": hashlib.sha256(b"new").hexdigest()}
    assert (written(), written()) == (1, 0)
    assert files.cat_file(f"{files._strip_protocol(folder)}/k_0.png") == b"new"


def test_a_copy_that_is_there_already_is_not_made_again(tmp_path: Path) -> None:
    storage = Storage("memory://copied")
    data = b"one"
    results = [{**result(0, stored(storage, data)), "sha256": hashlib.sha256(data).hexdigest()}]
    assert write_pictures([job("k", *results)], storage, tmp_path).written == 1
    assert write_pictures([job("k", *results)], storage, tmp_path).written == 0


def test_parquet_has_the_metadata_in_their_types(tmp_path: Path) -> None:
    jobs = [job("1", result(0, "a.png"), n=7, share=0.5, yes=True, tags=["x"], cost="theirs"), job("2", tags=3)]
    kinds = {"cost": "text", "n": "integer", "share": "number", "tags": "anything", "yes": "boolean"}
    write_table(tmp_path / "t.parquet", iter(jobs), kinds)
    first, second = parquet.read_table(tmp_path / "t.parquet").to_pylist()
    told = {
        name: first[name]
        for name in ("key", "cost", "currency", "uris", "sizes", "n", "share", "yes", "tags", "catalog.cost")
    }
    assert told == {
        "key": "1", "cost": Decimal("0.0200"), "currency": "USD", "uris": ["file:///p/a.png"], "sizes": [3], "n": 7,
        "share": 0.5, "yes": True, "tags": '["x"]', "catalog.cost": "theirs",
    }  # fmt: skip
    assert (second["n"], second["tags"], second["uris"]) == (None, "3", [])


def test_a_table_is_there_when_it_is_whole(tmp_path: Path) -> None:
    def broken() -> Iterator[Exported]:
        yield job("1")
        raise RuntimeError("the database went away")

    (tmp_path / "t.csv").write_text("the last one")
    with pytest.raises(RuntimeError):
        write_table(tmp_path / "t.csv", broken(), {})
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"t.csv": "the last one"}
    write_table(tmp_path / "t.csv.gz", iter([job("1")]), {})
    assert gzip.decompress((tmp_path / "t.csv.gz").read_bytes()).decode().splitlines()[1].startswith("1,succeeded")
