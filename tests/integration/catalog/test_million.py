"""Large catalogs, as `recast run` takes them: every mistake found before anything is enqueued, fast, in little memory.

`make test` runs them with 5,000 rows, `make million` with a million.
"""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlalchemy import text

import migrations
from devstack.servers import Servers
from models.connection import make_engine
from tests.stack import ROOT, write_accounts
from tests.unit.catalog import catalogs

SMALL, MILLION = 5_000, 1_000_000
ROWS_A_SECOND = 20_000
MEMORY_MB = 300
LOOK_SECONDS = 0.05
CHANGED_SHARE = 0.03
PICTURES = 200

COLUMNS = ("key", "kind", "source", "target", "image", "prompt", "account", "operation", "options", "sku", "title")
ACCOUNTS: Mapping[str, Mapping[str, Any]] = {
    "zhiqite-main": {
        "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "k", "access_key_secret": "s",
        "prices": {"swap": "0.02 USD"}, "operations": ["swap"],
    },
    "qolaba-main": {
        "provider": "qolaba", "base_url": "http://127.0.0.1:9", "token": "t",
        "prices": {"consistency": "0.03 USD/picture"}, "operations": ["consistency"],
    },
}  # fmt: skip

Record = dict[str, str | None]
#: Ten kinds of mistakes: what is wrong with a row, and what is said of it.
KINDS: Mapping[str, tuple[Callable[[Record], Record], str]] = {
    "no key": (lambda row: {**row, "key": None}, "key: is missing"),
    "a key twice": (lambda row: {**row, "key": "sku-0000001"}, "the key of line "),
    "an unknown kind": (lambda row: {**row, "kind": "paint"}, "'paint' is unknown; allowed: swap, generate"),
    "no target": (lambda row: {**row, "target": None}, "a swap needs source and target"),
    "no such file": (lambda row: {**row, "target": "gone.png"}, "'gone.png': the file does not exist"),
    "no picture": (lambda row: {**row, "target": "notes.txt"}, "'notes.txt': this is text"),
    "no JSON": (lambda row: {**row, "options": "{batch: 2}"}, "is not valid JSON"),
    "no such option": (lambda row: {**row, "options": '{"sharp": 1}'}, "has no such option"),
    "an unknown account": (lambda row: {**row, "account": "nobody"}, "'nobody' is unknown; allowed: "),
    "another scheme": (lambda row: {**row, "target": "ftp://x/y.png"}, "has the scheme 'ftp'"),
}


@dataclass(frozen=True)
class Done:
    """How a command ended, its seconds, and the most memory it had in MiB."""

    code: int
    out: str
    seconds: float
    memory: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """A configured deployment without workers, and catalogs of any size."""

    def __init__(self, folder: Path, servers: Servers) -> None:
        self.folder = folder
        self.engine = make_engine(servers.urls.database)
        migrations.upgrade(self.engine)
        write_accounts(folder / "accounts.toml", ACCOUNTS)
        for number in range(PICTURES):
            catalogs.picture(folder / "bilder" / f"größe-{number}.png")
        (folder / "notes.txt").write_text("no picture at all")
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RECAST_")},
            "RECAST_DATABASE_URL": servers.urls.database, "RECAST_BROKER_URL": servers.urls.broker,
            "RECAST_HOME": str(folder / "home"), "RECAST_ACCOUNTS_FILE": str(folder / "accounts.toml"),
            "RECAST_PUBLIC_URL": "http://127.0.0.1:9", "PYTHONPATH": str(ROOT),
        }  # fmt: skip

    def run(self, catalog: Path, *arguments: str) -> Done:
        """`recast run CATALOG --no-wait --json`, measured."""
        command = [sys.executable, "-m", "cli", "run", str(catalog), "--no-wait", "--json", *arguments]
        began = time.monotonic()
        with (self.folder / "out").open("w+") as out, (self.folder / "err").open("w+") as err:
            process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=out, stderr=err)
            memory = 0.0
            # Not `ru_maxrss`: it begins with what this process has, which the other one was forked from.
            while process.poll() is None:
                memory = max(memory, _most_memory(process.pid))
                time.sleep(LOOK_SECONDS)
            seconds = time.monotonic() - began
        written = (self.folder / "out").read_text() or (self.folder / "err").read_text()
        return Done(process.returncode, written, seconds, memory)

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.execute(text(statement), parameters))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    folder = tmp_path_factory.mktemp("million")
    with Servers(tmp_path_factory.mktemp("servers"), durable=False) as servers:
        desk = Desk(folder, servers)
        yield desk
        desk.engine.dispose()


def records(rows: int, *, changed: bool = False) -> Iterator[Record]:
    """Rows in order: swaps and portraits in turns, over a few hundred pictures, with metadata; some may be changed."""
    every = round(1 / CHANGED_SHARE)
    for number in range(rows):
        face = f"bilder/größe-{number % 7}.png"
        picture = f"bilder/größe-{number % PICTURES}.png"
        row: Record = dict.fromkeys(COLUMNS)
        row |= {"key": f"sku-{number:07}", "sku": str(number), "title": f'Größe "{number}", "neu"'}
        new = changed and number % every == 0
        if number % 2:
            row |= {"kind": "generate", "image": face, "operation": "qolaba.consistency"}
            row |= {"prompt": f"a portrait{' once more' if new else ''}, {number % 50}", "options": '{"batch": 2}'}
        else:
            target = f"bilder/größe-{(number + 1) % PICTURES}.png" if new else picture
            row |= {"kind": "swap", "source": face, "target": target, "operation": "zhiqite.swap"}
        yield row


def with_mistakes(rows: int) -> tuple[list[Record], dict[int, str]]:
    """The rows, five mistakes of each kind planted among the swaps, and by row's place what must be said of each."""
    made, told = list(records(rows)), {}
    places = [2 * (1 + (index + 1) * (rows // 2 - 2) // 51) for index in range(50)]
    for place, (spoil, message) in zip(places, [*KINDS.values()] * 5, strict=True):
        made[place] = spoil(made[place])
        told[place] = message
    return made, told


def write(path: Path, rows: Iterable[Record]) -> Path:
    """Write a catalog in the format of its ending."""
    if path.suffix == ".parquet":
        schema = pa.schema([(name, pa.string()) for name in COLUMNS])
        with parquet.ParquetWriter(path, schema) as writer:
            portion: list[Record] = []
            for row in rows:
                portion.append(row)
                if len(portion) == 50_000:
                    writer.write_table(pa.Table.from_pylist(portion, schema))
                    portion.clear()
            writer.write_table(pa.Table.from_pylist(portion, schema))
        return path
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8", newline="") as file:
        writer_ = csv.DictWriter(file, COLUMNS)
        writer_.writeheader()
        writer_.writerows(rows)
    return path


def _most_memory(pid: int) -> float:
    """The most memory that a process has had since it began its program, in MiB; none of one that has ended."""
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def all_mistakes_are_found(desk: Desk, rows: int, ending: str) -> None:
    # Given a catalog with fifty mistakes of ten kinds
    made, told = with_mistakes(rows)
    catalog = write(desk.folder / f"bad-{rows}{ending}", made)
    del made
    errors = desk.folder / "errors.csv"
    # When it is run
    done = desk.run(catalog, "--errors", str(errors))
    # Then each is told, with its line, its reason and nothing else
    assert done.code == 2, done.out
    first = 1 if ending == ".parquet" else 2  # a CSV's rows begin behind its header
    with errors.open(newline="") as file:
        found = {int(row["line"]) - first: f"{row['column']}: {row['message']}" for row in csv.DictReader(file)}
    assert found.keys() == told.keys()
    assert {place: words for place, words in found.items() if told[place] not in words} == {}
    assert done.json["total"] == len(done.json["mistakes"]) == 50
    # And nothing was enqueued
    assert desk.sql("SELECT 1 FROM batches WHERE name = :name", name=f"bad-{rows}") == []


def it_loads_and_again_and_changed(desk: Desk, rows: int, ending: str) -> list[Done]:
    name = f"good-{rows}-{ending.strip('.').replace('.', '-')}"
    catalog = desk.folder / f"{name}{ending}"
    # When a catalog in order is run, then run again, then run with three per cent of its rows changed
    write(catalog, records(rows))
    first = desk.run(catalog, "--name", name)
    again = desk.run(catalog, "--name", name)
    write(catalog, records(rows, changed=True))
    changed = desk.run(catalog, "--name", name)
    # Then all rows are enqueued, none, and exactly those
    assert (first.code, again.code, changed.code) == (0, 0, 0), first.out + again.out + changed.out
    expected = len(range(0, rows, round(1 / CHANGED_SHARE)))
    assert _numbers(first) == {"new": rows}
    assert _numbers(again) == {"unchanged": rows}
    assert _numbers(changed) == {"unchanged": rows - expected, "changed": expected}
    # And they are what the file says
    (batch,) = desk.sql("SELECT id, queued FROM batches WHERE name = :name", name=name)
    assert batch.queued == rows
    sample = desk.sql("SELECT key, kind, prompt, extra FROM jobs WHERE batch_id = :id AND key LIKE '%77'", id=batch.id)
    assert Counter(row.kind for row in sample) == {"generate": rows // 100}
    assert all(row.extra["title"] == f'Größe "{int(row.key[4:])}", "neu"' for row in sample)
    return [first, again, changed]


def _numbers(done: Done) -> dict[str, int]:
    return {name: done.json[name] for name in ("new", "changed", "retried", "unchanged", "left") if done.json[name]}


@pytest.mark.parametrize("ending", [".csv", pytest.param(".parquet", marks=pytest.mark.long)])
def test_every_mistake_of_a_large_catalog_is_found(desk: Desk, ending: str) -> None:
    all_mistakes_are_found(desk, SMALL, ending)


@pytest.mark.long
def test_a_large_catalog_is_enqueued_once_and_then_what_changed(desk: Desk) -> None:
    it_loads_and_again_and_changed(desk, SMALL, ".csv.gz")


@pytest.mark.million
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_every_mistake_in_a_million_rows_is_found(desk: Desk, ending: str) -> None:
    all_mistakes_are_found(desk, MILLION, ending)


@pytest.mark.million
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_a_million_rows_are_loaded_fast_in_little_memory(desk: Desk, ending: str, capsys: Any) -> None:
    small = it_loads_and_again_and_changed(desk, MILLION // 10, ending)
    large = it_loads_and_again_and_changed(desk, MILLION, ending)
    with capsys.disabled():
        for done in large:
            print(f"{ending}: {MILLION / done.seconds:,.0f} rows/s, {done.memory:.0f} MiB, {_numbers(done)}")  # noqa: T201
    assert max(done.memory for done in large) < MEMORY_MB
    # Flat: ten times the rows, and hardly more than the eight bytes a row that a key's hash takes.
    assert max(done.memory for done in large) < max(done.memory for done in small) + 40
    assert MILLION / large[0].seconds > ROWS_A_SECOND
