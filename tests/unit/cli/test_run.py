"""`recast run` before anything is started: mistakes as a file, pictures that are found, plans, and wrong options."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from tests.unit.catalog.catalogs import picture, portrait, swap, write_csv
from tests.words import unsaid
from workers.engine import looks

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


PLACES = [{"line": "3", "key": "=2", "column": "target"}, {"line": "4", "key": "3", "column": "kind"}]


def held(mistakes: list[dict[str, str]]) -> list[dict[str, str]]:
    """Where the mistakes are, once their messages name what they should."""
    first, second = (mistake.pop("message") for mistake in mistakes)
    assert unsaid(first, "gone.png") == []
    assert unsaid(second, "paint", "swap", "generate") == []
    return mistakes


def test_a_folder_that_is_not_there_is_told(capsys: Captured) -> None:
    assert run("shots", "--source", "a.png") == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "shots", "no such file or folder") == []


def test_mistakes_go_into_a_table_for_spreadsheets(folder: Path, bad: str, capsys: Captured) -> None:
    assert run(bad, "--errors", "wrong.csv") == ExitCode.USAGE
    with Path("wrong.csv").open(newline="") as file:
        found = list(csv.DictReader(file))
    assert held(found) == [{**PLACES[0], "key": "'=2"}, PLACES[1]]  # what a spreadsheet would run is text
    assert unsaid(capsys.readouterr().err, "bad.csv", "2") == []
    assert not Path(".recast").exists()


def test_mistakes_go_into_lines_and_documents_for_programs(folder: Path, bad: str, capsys: Captured) -> None:
    assert run(bad, "--errors", "wrong.jsonl", "--json") == ExitCode.USAGE
    lines = [json.loads(line) for line in Path("wrong.jsonl").read_text().splitlines()]
    document = json.loads(capsys.readouterr().out)
    assert (document["total"], document["mistakes"]) == (2, lines)
    assert held([{**line, "line": str(line["line"])} for line in lines]) == PLACES


@pytest.mark.parametrize("file", ["wrong.xlsx", "no/such/folder.csv"])
def test_a_file_for_mistakes_that_cannot_be_is_told_first(bad: str, capsys: Captured, file: str) -> None:
    assert run(bad, "--errors", file) == ExitCode.USAGE
    assert f"--errors: {file}: " in capsys.readouterr().err


def test_a_plan_of_pictures_that_were_found(folder: Path, capsys: Captured) -> None:
    for name in ("photos/1.png", "photos/new/2.png"):
        picture(folder / name)
    assert (
        run("photos", "--source", "a.png", "--source", "b.png", "--provider", "zhiqite", "--dry-run") == ExitCode.USAGE
    )
    assert unsaid(capsys.readouterr().err, "2", "4", "--cross") == []
    found = ("photos", "--source", "*.png", "--cross", "--provider", "zhiqite", "--dry-run", "--json")
    assert run(*found) == ExitCode.OK
    plan = json.loads(capsys.readouterr().out)
    assert (plan["batch"], plan["rows"], plan["verdicts"]) == ("photos", 4, {"new": 4})
    assert (plan["cost"], plan["lanes"]) == (
        {"cheapest": usd("0.08"), "dearest": usd("0.08"), "at_most": usd("0.16")},
        {"zhiqite.swap": 4},
    )
    assert plan["parts"] == [{"operation": "zhiqite.swap", "account": "sandbox-zhiqite", "jobs": 4.0}]


def test_a_source_for_a_catalog_has_no_use(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    assert run("c.csv", "--source", "a.png") == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "c.csv") == []


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
    assert run("c.csv", "--dry-run", "--json") == ExitCode.OK
    plan = json.loads(capsys.readouterr().out)
    assert [(each["line"], each["key"], each["column"]) for each in plan["refused"]] == [(3, "half", "target")]
    assert run("c.csv", "--dry-run") == ExitCode.OK
    told = capsys.readouterr().out
    assert unsaid(told, "line 3", "half", "target") == []
    assert unsaid(told, "3", "zhiqite.swap", "sandbox-zhiqite") == []


def test_a_plan_names_addresses_that_lead_nowhere(
    folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "NOBODY_PAUSES", (0.01,))
    nowhere = "https://no-such-host.invalid/x.jpg"
    rows = [swap("good", operation="zhiqite.swap"), swap("dead", target=nowhere, operation="zhiqite.swap")]
    write_csv(folder / "c.csv", rows)
    assert run("c.csv", "--dry-run") == ExitCode.OK
    assert unsaid(capsys.readouterr().out, "line 3", "dead", "target", "no-such-host.invalid") == []
    for looked_at, lines in (("true", [3]), ("false", [])):
        monkeypatch.setenv("RECAST_CHECK_ADDRESSES", looked_at)
        assert run("c.csv", "--dry-run", "--json") == ExitCode.OK
        assert [each["line"] for each in json.loads(capsys.readouterr().out)["refused"]] == lines


def test_a_narrowed_plan_of_nothing(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1", operation="zhiqite.swap")])
    assert run("c.csv", "--dry-run", "--only", "failed") == ExitCode.OK
    told = capsys.readouterr().out
    assert unsaid(told, "1", "--only") == []
    assert unsaid(told, "nothing") == []


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["--deadline", "soon"], ("--deadline", "soon", "2h", "3d")),
        (["--deadline", "2020-01-01"], ("--deadline", "2020-01-01")),
        (["--deadline", "99999999d"], ("--deadline", "99999999d", "36500d")),
        (["--priority", "101"], ("--priority", "101", "-100", "100")),
        (["--max-in-flight", "0"], ("--max-in-flight", "0", "1")),
        (["--only", "old"], ("--only", "old")),
        (["--keep", "36h"], ("--keep", "36h", "30d")),
        (["--keep", "0d"], ("--keep", "0d", "30d")),
        (["--keep", "soon"], ("--keep", "soon")),
        (["--max-cost", "1 EUR"], ("--max-cost", "1 EUR", "12.50", "USD")),
        (["--label", " "], ("--label", "1", "200")),
    ],
)
def test_options_that_are_wrong(folder: Path, capsys: Captured, arguments: list[str], facts: tuple[str, ...]) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    assert run("c.csv", *arguments) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, *facts) == []
    assert not Path(".recast").exists()


@pytest.mark.parametrize(("limit", "rows"), [("0.01", 0), ("0.02", 1), ("0.05", 2), ("9", 3)])
def test_a_plan_tells_for_how_many_rows_the_limit_pays(folder: Path, capsys: Captured, limit: str, rows: int) -> None:
    write_csv(folder / "c.csv", [swap(str(number), operation="zhiqite.swap") for number in range(3)])
    assert run("c.csv", "--dry-run", "--max-cost", limit, "--json") == ExitCode.OK
    found = json.loads(capsys.readouterr().out)["max_cost"]
    assert (float(found["limit"]["amount"]), found["rows"]) == (float(limit), rows)
    assert run("c.csv", "--dry-run", "--max-cost", limit) == ExitCode.OK
    (told,) = [line for line in capsys.readouterr().out.splitlines() if "--max-cost" in line]
    assert unsaid(told, rows, 3) == []


def test_a_plan_tells_of_a_source_among_its_targets(folder: Path, capsys: Captured) -> None:
    picture(folder / "photos" / "1.png", side=20)
    picture(folder / "photos" / "me.png", side=24)
    found = ("photos", "--source", "photos/me.png", "--provider", "zhiqite", "--dry-run")
    assert run(*found, "--json") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["same_picture"] == ["me.png"]
    assert run(*found) == ExitCode.OK
    assert unsaid(capsys.readouterr().out, "me.png", "--same-picture") == []
    assert run(*found, "--json", "--same-picture") == ExitCode.OK
    assert json.loads(capsys.readouterr().out)["same_picture"] == []
