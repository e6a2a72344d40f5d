"""Hostile names and cells."""

from __future__ import annotations

import csv
import hashlib
import io
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import CatalogError
from recast.money import Money
from reports.export import Exported, write_csv
from reports.pictures import write_pictures
from tests.hostile.cases import Case, Fate
from tests.hostile.files import CELLS, KEYS, NAMES, TEMPLATES
from tests.words import names, unsaid
from workers.images.storage import Storage, StorageError

DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def exported(key: str, *results: dict[str, Any], error: str | None = None, **extra: Any) -> Exported:
    return Exported(
        key, "succeeded", None, error, "main", "zhiqite.swap", Money(Decimal("0.02"), "USD"), 1, results, extra
    )


@pytest.mark.parametrize("case", KEYS, ids=lambda case: case.name)
def test_a_hostile_key_reaches_no_file(case: Case, tmp_path: Path) -> None:
    storage, key = Storage(str(tmp_path)), case.make()

    def opened(key: str) -> None:
        with storage.open(key):
            pass

    for use in (storage.get, storage.exists, storage.url, opened):
        with pytest.raises(StorageError, match=names(*case.facts)):
            use(key)


def test_hostile_keys_become_names_in_the_folder(tmp_path: Path) -> None:
    storage, folder, outside = Storage(str(tmp_path / "storage")), tmp_path / "out", tmp_path / "outside.jpg"
    folder.mkdir()
    outside.write_bytes(b"stays")
    (folder / "linked_0.jpg").symlink_to(outside)
    jobs = []
    for case in NAMES:
        for key in (case.make(), f"beside {case.name}"):
            data = key.encode()
            digest = hashlib.sha256(data).hexdigest()
            stored = storage.put(data, sha256=digest, suffix="jpg")
            jobs.append(exported(key, {"index": 0, "key": stored, "sha256": digest, "size": len(data)}))
    made = write_pictures(iter(jobs), storage, folder)

    files = {path.name: path for path in folder.rglob("*")}
    assert made.files == len(jobs) == len(files)
    assert {path.read_bytes() for path in files.values()} == {job.key.encode() for job in jobs}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "outside.jpg", "storage"]
    assert outside.read_bytes() == b"stays"
    for name, path in files.items():
        assert path.is_file()
        assert not path.is_symlink()
        assert re.fullmatch(r"[\w@+-][\w.@+-]*", name), name
        assert not DEVICES.match(name), name
        assert len(name.encode()) <= 200


@pytest.mark.parametrize("case", TEMPLATES, ids=lambda case: case.name)
def test_a_hostile_template_stays_in_the_folder(case: Case, tmp_path: Path) -> None:
    storage, folder = Storage(str(tmp_path / "storage")), tmp_path / "out"
    jobs = []
    for key in ("first", "second"):
        stored = storage.put(key.encode(), sha256=hashlib.sha256(key.encode()).hexdigest(), suffix="jpg")
        result = {"index": 0, "key": stored, "sha256": hashlib.sha256(key.encode()).hexdigest(), "size": len(key)}
        jobs.append(exported(key, result, out="../../x", dots="..", nothing_at_all=""))
    if case.fate is Fate.REFUSED:
        with pytest.raises(CatalogError) as caught:
            write_pictures(jobs, storage, folder, case.make(), "batch")
        assert unsaid(str(caught.value), *case.facts) == []
    else:
        assert write_pictures(jobs, storage, folder, case.make(), "batch").files == 2
        assert len([path for path in folder.rglob("*") if path.is_file()]) == 2
    assert {path.name for path in tmp_path.iterdir()} <= {"out", "storage"}


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
def test_a_hostile_cell_is_text(case: Case) -> None:
    cell = case.make()
    file = io.StringIO(newline="")
    write_csv(file, iter([exported(cell, error=cell, **{cell: cell}), exported("beside", sku="1")]), [cell, "sku"])
    rows = list(csv.reader(io.StringIO(file.getvalue(), newline="")))
    header, own, beside = rows

    expected = cell if case.says in {"stays a number", "one cell"} else f"'{cell}"
    assert (own[0], own[3], own[-2], header[-2]) == (expected, expected, expected, expected)
    assert (beside[0], beside[-1]) == ("beside", "1")
