from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import CatalogError
from catalog.export import Exported, safe_name, write_csv, write_json_lines, write_pictures, writer_for
from workers.storage import Storage, StorageError


def job(key: str = "k", *results: dict[str, Any], **extra: Any) -> Exported:
    return Exported(key, "succeeded", None, None, "main", "zhiqite.swap", Decimal("0.0200"), 1, results, extra)


def result(index: int, key: str) -> dict[str, Any]:
    return {"index": index, "key": key, "uri": f"file:///p/{key}", "size": 3, "sha256": "ab"}


def as_csv(*jobs: Exported, metadata: list[str] | None = None) -> list[dict[str, str]]:
    file = io.StringIO()
    write_csv(file, iter(jobs), metadata or [])
    file.seek(0)
    return list(csv.DictReader(file))


def test_csv_has_the_job_its_pictures_and_the_metadata() -> None:
    (row,) = as_csv(job("k", result(0, "a.png"), result(1, "b.png"), sku="A-1", tags=["x"]), metadata=["sku", "tags"])
    assert row == {
        "key": "k", "state": "succeeded", "reason": "", "error": "", "account": "main", "operation": "zhiqite.swap",
        "cost": "0.02", "attempts": "1", "uris": "file:///p/a.png\nfile:///p/b.png", "sizes": "3\n3",
        "sha256": "ab\nab", "sku": "A-1", "tags": '["x"]',
    }  # fmt: skip


def test_a_metadata_column_called_like_ours_keeps_apart() -> None:
    (row,) = as_csv(job(cost="their own"), metadata=["cost"])
    assert (row["cost"], row["catalog.cost"]) == ("0.02", "their own")


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
    assert writer_for(Path("a.CSV")) is write_csv
    assert writer_for(Path("a.jsonl")) is write_json_lines
    with pytest.raises(CatalogError, match=r"'\.xlsx' is unknown; allowed: \.csv"):
        writer_for(Path("a.xlsx"))


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


def test_pictures_of_local_storage_take_no_room_and_cannot_be_edited_by_mistake(
    storage: Storage, tmp_path: Path
) -> None:
    picture_of(storage, tmp_path / "out", "k", b"one")
    link, original = tmp_path / "out" / "k_0.png", Path(storage.url(stored(storage, b"one")).removeprefix("file://"))
    assert link.samefile(original)
    assert link.stat().st_mode & 0o222 == 0


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
    with pytest.raises(StorageError, match="it is not there"):
        write_pictures(iter([job("k", result(0, key))]), storage, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def none() -> Iterator[Exported]:
        yield from ()

    with pytest.raises(CatalogError, match="the pictures cannot be written there"):
        write_pictures(none(), storage, tmp_path / "file" / "out")
