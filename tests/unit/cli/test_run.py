"""`recast run` before anything is started: mistakes as a file, pictures that are found, plans, and wrong options."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from cli.main import main
from cli.output import Code
from tests.unit.catalog.catalogs import picture, portrait, swap, write_csv

Captured = pytest.CaptureFixture[str]


pytestmark = pytest.mark.usefixtures("folder")


def usd(amount: str) -> dict[str, str]:
    return {"amount": amount, "currency": "USD"}


def run(*arguments: str) -> int:
    return main(["run", *arguments, "--sandbox"])


@pytest.fixture
def bad(folder: Path) -> str:
    rows = [swap("1"), swap("=2", target="gone.png"), swap("3", kind="paint")]
    return str(write_csv(folder / "bad.csv", rows))


TOLD = [
    {"line": "3", "key": "=2", "column": "target", "message": "'gone.png': there is no such file"},
    {"line": "4", "key": "3", "column": "kind", "message": "'paint' is unknown; allowed: swap, generate"},
]


def test_mistakes_go_into_a_table_for_spreadsheets(folder: Path, bad: str, capsys: Captured) -> None:
    assert run(bad, "--errors", "wrong.csv") == Code.USAGE
    with Path("wrong.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert found == [{**TOLD[0], "key": "'=2"}, TOLD[1]]  # what a spreadsheet would run is text
    assert "bad.csv: 2 mistakes; nothing was enqueued" in capsys.readouterr().err
    assert not Path(".recast").exists()


def test_mistakes_go_into_lines_and_documents_for_programs(folder: Path, bad: str, capsys: Captured) -> None:
    assert run(bad, "--errors", "wrong.jsonl", "--json") == Code.USAGE
    lines = [json.loads(line) for line in Path("wrong.jsonl").read_text().splitlines()]
    document = json.loads(capsys.readouterr().out)
    assert [{**line, "line": str(line["line"])} for line in lines] == TOLD
    assert (document["total"], document["mistakes"]) == (2, lines)


@pytest.mark.parametrize("file", ["wrong.xlsx", "no/such/folder.csv"])
def test_a_file_for_mistakes_that_cannot_be_is_told_first(bad: str, capsys: Captured, file: str) -> None:
    assert run(bad, "--errors", file) == Code.USAGE
    assert f"--errors: {file}: " in capsys.readouterr().err


def test_a_plan_of_pictures_that_were_found(folder: Path, capsys: Captured) -> None:
    for name in ("photos/1.png", "photos/new/2.png"):
        picture(folder / name)
    assert run("photos", "--source", "a.png", "--source", "b.png", "--provider", "zhiqite", "--dry-run") == Code.USAGE
    assert "2 sources x 2 targets = 4 rows would be made: add --cross" in capsys.readouterr().err
    found = ("photos", "--source", "*.png", "--cross", "--provider", "zhiqite", "--dry-run", "--json")
    assert run(*found) == Code.OK
    plan = json.loads(capsys.readouterr().out)
    assert (plan["batch"], plan["rows"], plan["verdicts"]) == ("photos", 4, {"new": 4})
    assert (plan["cost"], plan["lanes"]) == ({"cheapest": usd("0.08"), "dearest": usd("0.08")}, {"zhiqite.swap": 4})
    assert plan["parts"] == [{"operation": "zhiqite.swap", "account": "sandbox-zhiqite", "jobs": 4.0}]


def test_a_source_for_a_catalog_has_no_use(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    assert run("c.csv", "--source", "a.png") == Code.USAGE
    assert "c.csv is a catalog, whose rows name their sources" in capsys.readouterr().err


def test_a_plan_tells_what_the_workers_would_refuse(folder: Path, capsys: Captured) -> None:
    whole = (folder / "a.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) - 20])  # its header is in order
    rows = [
        swap("good", operation="zhiqite.swap"),
        swap("half", target="half.png", operation="zhiqite.swap"),
        swap("half again", target="half.png", operation="zhiqite.swap"),
        portrait("fine", operation="qolaba.consistency"),
    ]
    write_csv(folder / "c.csv", rows)
    assert run("c.csv", "--dry-run", "--json") == Code.OK
    plan = json.loads(capsys.readouterr().out)
    assert [(each["line"], each["key"], each["column"]) for each in plan["refused"]] == [(3, "half", "target")]
    assert run("c.csv", "--dry-run") == Code.OK
    told = capsys.readouterr().out
    assert "would be refused: line 3: half: target:" in told
    assert "3  zhiqite.swap at sandbox-zhiqite, as fast as its in flight allows" in told


def test_a_narrowed_plan_of_nothing(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1", operation="zhiqite.swap")])
    assert run("c.csv", "--dry-run", "--only", "failed") == Code.OK
    told = capsys.readouterr().out
    assert "1  left out by --only" in told
    assert "nothing would be queued" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--deadline", "soon"], "'soon' is not a valid time; use 2h, 3d or a date"),
        (
            ["--deadline", "2020-01-01"],
            "2020-01-01 00:00:00+00:00 is not allowed; allowed: a moment that has not passed",
        ),
        (["--deadline", "99999999d"], "99999999 days, 0:00:00 is not allowed; allowed: up to 36500 days"),
        (["--priority", "101"], "--priority: 101 is not allowed; allowed: -100 to 100"),
        (["--max-in-flight", "0"], "--max-in-flight: 0 is not allowed; allowed: 1 to"),
        (["--only", "old"], "'old' is not one of"),
        (["--keep", "36h"], "'36h' is not allowed; allowed: whole days, such as 30d"),
        (["--keep", "0d"], "'0d' is not allowed; allowed: whole days, such as 30d"),
        (["--keep", "soon"], "'soon' is not a duration"),
        (["--max-cost", "1 EUR"], "'1 EUR' is not a valid amount; use a number such as 12.50 in USD"),
        (["--label", " "], "' ' is not allowed; allowed: 1 to 200 printable characters"),
    ],
)
def test_options_that_are_wrong(folder: Path, capsys: Captured, arguments: list[str], message: str) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    assert run("c.csv", *arguments) == Code.USAGE
    assert message in capsys.readouterr().err
    assert not Path(".recast").exists()
