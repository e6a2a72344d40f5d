"""Hostile catalogs: whole files, and rows between good ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from catalog.enqueue import enqueue
from catalog.errors import BadRowsError, CatalogError
from catalog.intake import take_in
from tests.hostile import catalogs
from tests.hostile.cases import Case, Fate
from tests.unit.catalog.catalogs import accounts, picture
from tests.words import unsaid
from workers.jobs.routing import Reach

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

ACCOUNTS = accounts("zhiqite", "qolaba")
REACH = Reach(public_url=True, presigned=False)
SURVIVORS = [case for case in catalogs.ROWS if case.fate is Fate.SURVIVED]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    return tmp_path


def written(folder: Path, lines: list[bytes]) -> Path:
    path = folder / "catalog.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    return path


def good(key: str) -> bytes:
    return json.dumps(catalogs.good_row(key)).encode()


@pytest.mark.parametrize("case", catalogs.FILES, ids=lambda case: case.name)
def test_a_hostile_file_is_refused_as_a_whole(case: Case, folder: Path) -> None:
    name, data = case.make()
    path = folder / name
    path.write_bytes(data)
    with pytest.raises(CatalogError) as caught:
        take_in(path, ACCOUNTS, REACH)
    assert unsaid(str(caught.value), *case.facts) == []
    assert name in str(caught.value)


@pytest.mark.parametrize(
    "case", [case for case in catalogs.ROWS if case.fate is Fate.REFUSED], ids=lambda case: case.name
)
def test_a_hostile_row_is_told_and_no_other_is_blamed(case: Case, folder: Path) -> None:
    path = written(folder, [good("first"), good("second"), case.make(folder), good("third")])
    with pytest.raises(BadRowsError) as caught:
        take_in(path, ACCOUNTS, REACH)
    assert {mistake.line for mistake in caught.value.mistakes} == {3}
    told = " ".join(f"{mistake.column} {mistake.message}" for mistake in caught.value.mistakes)
    assert unsaid(told, *case.facts) == []


def test_rows_that_survive_are_stored_unchanged_beside_good_ones(
    folder: Path, database: Database, make_runtime: RuntimeFactory
) -> None:
    runtime = make_runtime()
    lines, wanted = [], {}
    for number, case in enumerate(SURVIVORS):
        made: dict[str, Any] = json.loads(case.make(folder))
        if made["key"] == "bad":
            made["key"] = f"bad {number}"
        lines += [json.dumps(made).encode(), good(f"beside {number}")]
        wanted[str(made["key"])] = made
    with take_in(written(folder, lines), runtime.accounts, REACH, name="'; DROP TABLE batches; --") as intake:
        enqueued = enqueue(runtime, intake)

    assert enqueued.new == 2 * len(SURVIVORS)
    rows = {row.key: row for row in database.sql("SELECT * FROM jobs")}
    for key, made in wanted.items():
        extra = {name: value for name, value in made.items() if name not in {"key", "kind", "source", "target"}}
        source = made["source"] if "://" in made["source"] else str(folder / made["source"])
        assert (rows[key].extra, rows[key].source, rows[key].target) == (extra, source, str(folder / "b.png")), key
    for number in range(len(SURVIVORS)):
        assert rows[f"beside {number}"].extra == {"sku": f"neighbour of beside {number}"}
