from __future__ import annotations

import json
import os
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from catalog import checks, local_files
from catalog.columns import Row
from catalog.errors import BadRowsError, CatalogError
from catalog.intake import SPOOLED, Intake, take_in
from catalog.rows import open_rows
from models.identity import bulk_job_id
from tests.unit.catalog.catalogs import accounts, picture, portrait, swap, write_csv
from tests.words import names, unsaid
from workers.images import headers
from workers.jobs import routing
from workers.jobs.routing import Reach
from workers.jobs.run_options import DEFAULTS, RunOptions

REACH = Reach(public_url=True, presigned=False)
NO_REACH = Reach(public_url=False, presigned=False)
BOTH = accounts("zhiqite", "qolaba")


def spooled(intake: Intake) -> list[dict[str, str]]:
    lines = b"".join(intake.chunks()).decode().splitlines()
    return [dict(zip(SPOOLED, line.split("\t"), strict=True)) for line in lines]


def mistakes(path: Path, reach: Reach = REACH, options: RunOptions = DEFAULTS) -> list[str]:
    with pytest.raises(BadRowsError) as caught:
        take_in(path, BOTH, reach, options=options)
    assert caught.value.total == len(caught.value.mistakes)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_rows_become_what_the_database_copies(folder: Path) -> None:
    rows = [swap("s", sku="A\t1\\2", empty=""), portrait("p", options='{"batch": 2}')]
    with take_in(write_csv(folder / "shoes.csv", rows), BOTH, REACH) as intake:
        first, second = spooled(intake)
        assert (intake.name, intake.rows) == ("shoes", 2)
    assert first["id"] == bulk_job_id("shoes", "s")
    assert first["source"] == str(folder / "a.png")
    assert first["lane"] == "zhiqite.swap"
    assert first["extra"] == r'{"sku":"A\\t1\\\\2"}'
    assert first["image"] == first["account"] == ""
    assert first["cost"] == "0.02"
    assert json.loads(second["options"]) == {"batch": 2}
    assert (second["lane"], second["cost"]) == ("qolaba.consistency", "0.06")


def test_the_estimate_tells_the_cheapest_and_the_dearest_way(folder: Path) -> None:
    two = {**accounts("zhiqite"), "other": accounts("zhiqite", prices={"swap": "0.05 USD"})["zhiqite-main"]}
    two["other"] = two["other"].model_copy(update={"name": "other"})
    path = write_csv(folder / "c.csv", [swap("1"), swap("2"), swap("3", account="other")])
    with take_in(path, two, REACH) as intake:
        assert (intake.costs.cheapest, intake.costs.dearest) == (Decimal("0.09"), Decimal("0.15"))
        assert intake.costs.unpriced == set()
        rows = {lane: share.rows for lane, share in intake.costs.lanes.items()}
        assert rows == {"zhiqite.swap": 2, "other@zhiqite.swap": 1}


def test_ways_without_a_price_are_named(folder: Path) -> None:
    free = accounts("zhiqite", prices={})
    with take_in(write_csv(folder / "c.csv", [swap("1")]), free, REACH) as intake:
        assert intake.costs.unpriced == {"zhiqite-main: zhiqite.swap"}


def test_defaults_are_for_rows_that_name_neither(folder: Path) -> None:
    rows = [swap("1"), swap("2", provider="zhiqite"), swap("3", account="zhiqite-main")]
    with take_in(write_csv(folder / "c.csv", rows), BOTH, REACH, options=RunOptions(account="zhiqite-main")) as intake:
        assert [row["lane"] for row in spooled(intake)] == [
            "zhiqite-main@zhiqite.swap",
            "zhiqite.swap",
            "zhiqite-main@zhiqite.swap",
        ]


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        (swap("", sku="1"), ("line 2", "key")),
        (swap("a\tb"), ("line 2", "key", "a\\tb", "1", "500")),
        (swap("k" * 501), ("line 2", "key", "1", "500")),
        ({"key": "1", "kind": "paint"}, ("line 2", "kind", "paint", "swap", "generate")),
        ({"key": "1", "kind": "swap", "source": "a.png"}, ("line 2", "target", "source")),
        (swap("1", image="a.png"), ("line 2", "image", "a.png")),
        (portrait("1", prompt=""), ("line 2", "prompt", "qolaba.consistency")),
        (portrait("1", options='{"batch": 9}'), ("line 2", "options.batch", "9", "qolaba.consistency")),
        (portrait("1", options='{"height": 100}'), ("line 2", "options.height", "100", "qolaba.consistency")),
        (
            portrait("1", options='{"sharp": 1}'),
            ("line 2", "options.sharp", "qolaba.consistency"),
        ),
        (portrait("1", options="{batch: 2}"), ("line 2", "options", "{batch: 2}", "JSON")),
        (portrait("1", options="[2]"), ("line 2", "options", "[2]", "JSON object")),
        (portrait("1", options='{"batch": NaN}'), ("line 2", "options", "NaN")),
        (portrait("1", options="#REF!"), ("line 2", "options", "#REF!", "formula")),
        (swap("1", account="nobody"), ("line 2", "account", "nobody", "qolaba-main", "zhiqite-main")),
        (swap("1", account="qolaba-main"), ("line 2", "account", "qolaba-main", "swap")),
        (swap("1", provider="nobody"), ("line 2", "provider", "nobody")),
        (swap("1", operation="zhiqite.paint"), ("line 2", "operation", "zhiqite.paint")),
        (swap("1", source="missing.png"), ("line 2", "source", "missing.png")),
        (swap("1", source="."), ("line 2", "source", "folder")),
        (swap("1", source="empty.png"), ("line 2", "source", "empty.png", "empty")),
        (swap("1", source="text.png"), ("line 2", "source", "text.png", "text", "JPEG", "PNG", "WebP")),
        (swap("1", source="moving.webp"), ("line 2", "source", "moving.webp", "animated")),
        (swap("1", source="ftp://x/y.png"), ("line 2", "source", "ftp://x/y.png", "ftp")),
        (
            swap("1", source="https://x/" + "y" * 5_000),
            ("line 2", "source", "5,010 characters", "4,096"),
        ),
    ],
)
def test_a_row_that_cannot_be_enqueued_says_line_column_value_and_what_is_allowed(
    folder: Path, row: Mapping[str, Any], facts: tuple[str, ...]
) -> None:
    (folder / "empty.png").touch()
    (folder / "text.png").write_text("no picture at all")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    (told,) = mistakes(write_csv(folder / "c.csv", [row]))
    assert unsaid(told, *facts) == []


def test_local_files_need_a_way_to_a_provider_that_fetches(folder: Path) -> None:
    (told,) = mistakes(write_csv(folder / "c.csv", [swap("1")]), NO_REACH)
    assert unsaid(told, "line 2", "source", "a.png", "zhiqite.swap", "URL") == []
    assert unsaid(told, "RECAST_PUBLIC_URL") == []


def test_public_urls_need_no_way(folder: Path) -> None:
    rows = [swap("1", source="https://example.org/a.png", target="https://example.org/b.png")]
    with take_in(write_csv(folder / "c.csv", rows), BOTH, NO_REACH) as intake:
        assert spooled(intake)[0]["source"] == "https://example.org/a.png"


def test_a_key_may_stand_once(folder: Path) -> None:
    (told,) = mistakes(write_csv(folder / "c.csv", [swap("1"), swap("2"), swap("1")]))
    assert unsaid(told, "line 4", "key", "1", "line 2") == []


def test_all_mistakes_are_told_and_what_routing_says_is_not_remembered_for_other_rows(folder: Path) -> None:
    rows = [
        swap("1", source="x.png", target="y.png"),
        swap("2"),
        portrait("3", options="{}"),
        swap("4", target="z.png"),
    ]
    told = mistakes(write_csv(folder / "c.csv", rows))
    for one, facts in zip(told, ["2 source x.png", "2 target y.png", "5 target z.png"], strict=True):
        assert unsaid(one, *facts.split()) == []
    told = mistakes(folder / "c.csv", NO_REACH)
    for one, facts in zip(told, ["2 source x.png", "3 source a.png", "4 image a.png", "5 source a.png"], strict=True):
        assert unsaid(one, *facts.split()) == []


def test_mistakes_beyond_what_anybody_reads_are_counted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.intake.MAX_MISTAKES", 2)
    path = write_csv(folder / "c.csv", [swap(str(number), target="z.png") for number in range(5)])
    with pytest.raises(BadRowsError) as caught:
        take_in(path, BOTH, REACH)
    rest, total = str(caught.value).splitlines()[1:]
    assert unsaid(rest, "3", "--errors") == []
    assert unsaid(total, path, "5") == []


def test_an_empty_catalog_is_refused(folder: Path) -> None:
    with pytest.raises(CatalogError, match=names("rows")):
        take_in(write_csv(folder / "c.csv", []), BOTH, REACH)


@pytest.mark.parametrize("name", ["", "  ", "a\nb", "n" * 201])
def test_names_that_no_batch_can_have(folder: Path, name: str) -> None:
    with pytest.raises(CatalogError, match="--name"):
        take_in(write_csv(folder / "c.csv", [swap("1")]), BOTH, REACH, name=name)


def fingerprints(path: Path) -> dict[str, str]:
    with take_in(path, BOTH, REACH) as intake:
        return {row["key"]: row["fingerprint"] for row in spooled(intake)}


def test_a_fingerprint_changes_with_what_decides_the_picture(folder: Path) -> None:
    rows = [swap("same", note="old"), swap("other-target"), portrait("other-prompt"), portrait("other-options")]
    before = fingerprints(write_csv(folder / "c.csv", rows))
    picture(folder / "c.png")
    rows = [
        swap("same", note="new"),
        swap("other-target", target="c.png"),
        portrait("other-prompt", prompt="another"),
        portrait("other-options", options='{"batch": 2}'),
    ]
    after = fingerprints(write_csv(folder / "c.csv", rows))
    assert {key for key in before if before[key] != after[key]} == {"other-target", "other-prompt", "other-options"}


def test_a_fingerprint_changes_with_the_file_and_not_with_its_place(folder: Path) -> None:
    before = fingerprints(write_csv(folder / "c.csv", [swap("1")]))
    moved = folder.rename(folder.with_name("moved"))
    assert fingerprints(moved / "c.csv") == before
    stat = (moved / "b.png").stat()
    os.utime(moved / "b.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000_000))
    assert fingerprints(moved / "c.csv") != before


def test_each_file_is_looked_at_once_and_routing_asked_once_a_combination(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[Path] = []
    routed: list[str] = []

    def header(path: Path, *more: Any) -> headers.Picture:
        looked.append(path)
        return headers.header(path, *more)

    def route(ask: Any, *more: Any) -> str:
        routed.append(ask.kind)
        return routing.route(ask, *more)

    monkeypatch.setattr(local_files, "local_header", header)
    monkeypatch.setattr(checks, "route", route)
    rows = [swap(f"s{number}", prompt="") for number in range(50)] + [portrait(f"p{number}") for number in range(50)]
    with take_in(write_csv(folder / "c.csv", rows), BOTH, REACH) as intake:
        assert intake.rows == 100
    assert sorted(looked) == [folder / "a.png", folder / "b.png"]
    assert routed == ["swap", "generate"]


def test_routing_is_asked_once_for_options_that_are_alike_however_they_are_written(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routed: list[str] = []

    def route(ask: Any, *more: Any) -> str:
        routed.append(ask.kind)
        return routing.route(ask, *more)

    monkeypatch.setattr(checks, "route", route)
    options = [{"batch": 2, "strength": 0.5}, {"strength": 0.5, "batch": 2}]
    rows = [portrait(str(number), options=options[number % 2]) for number in range(50)]
    (folder / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    with take_in(folder / "c.jsonl", BOTH, REACH) as intake:
        assert intake.rows == 50
        assert len({row["fingerprint"] for row in spooled(intake)}) == 1
    assert routed == ["generate"]


@pytest.mark.parametrize("place", ["https://shop.example", "s3://bucket"])
def test_pictures_beside_a_catalog_in_the_root_of_a_server_or_bucket(place: str) -> None:
    values = swap("1", source="faces/a.png", target="https://o.example/b.png")
    entry = checks.Checker(BOTH, REACH, place).check(Row(2, values))
    assert entry.ask.source == f"{place}/faces/a.png"
    # Earlier versions wrote two slashes, which many servers answer alike: such a row is not paid for again.
    there = {**values, "source": f"{place}//faces/a.png"}
    assert entry.former == checks.Checker(BOTH, REACH, place).check(Row(2, there)).fingerprint
    beside = checks.Checker(BOTH, REACH, f"{place}/cat").check(Row(2, values))
    assert (beside.ask.source, beside.former) == (f"{place}/cat/faces/a.png", None)


def test_names_that_are_not_text_are_refused_by_name(folder: Path) -> None:
    bad = folder / os.fsdecode(b"bad\xff")
    bad.mkdir()
    picture(bad / "a.png")
    with pytest.raises(CatalogError, match=names("bad", "UTF-8")):
        take_in(write_csv(bad / "c.csv", [swap("1")]), BOTH, REACH)
    checker = checks.Checker(BOTH, REACH, bad)
    with pytest.raises(checks.BadRowError) as caught:
        checker.check(Row(2, swap("1", target="https://o.example/b.png")))
    assert [(each.column, unsaid(each.message, "UTF-8")) for each in caught.value.mistakes] == [("source", [])]


def test_json_lines_carry_options_and_metadata_as_they_are(folder: Path) -> None:
    row = portrait(7, options={"batch": 3}, tags=["new", {"deep": 1}], nothing=None)
    (folder / "c.jsonl").write_text(json.dumps(row))
    with take_in(folder / "c.jsonl", BOTH, REACH) as intake:
        (found,) = spooled(intake)
    assert (found["key"], json.loads(found["extra"])) == ("7", {"tags": ["new", {"deep": 1}]})
    assert found["cost"] == "0.09"


def test_equal_mistakes_are_one_line_that_names_their_rows(folder: Path) -> None:
    rows = [*(swap(str(number), provider="qolaba") for number in range(41)), swap("x", source="gone.png")]
    path = write_csv(folder / "c.csv", rows)
    with pytest.raises(BadRowsError) as caught:
        take_in(path, BOTH, REACH)
    told = str(caught.value).splitlines()
    assert len(told) == 3, told
    assert unsaid(told[0], f"{path}:2:", "qolaba", "3", "7", "35 more") == []
    assert unsaid(told[1], f"{path}:43:", "gone.png") == []
    assert unsaid(told[2], 42) == []


@pytest.mark.parametrize("column", ["key", "source", "target", "kind", "provider", "options"])
@pytest.mark.parametrize(
    "shown",
    [
        "#REF!",
        "#N/A",
        "#value!",
        "#DIV/0!",
        "#NAME?",
        " #SPILL! ",
        "Err:502",
        "#BEZUG!",
        "#NV",
        "#N/D",
        "#¡REF!",
        "#NOMBRE?",
        "#ПУСТО!",
        "#ДЕЛ/0!",
        "#值!",
    ],
)
def test_a_failed_formula_in_a_column_of_ours_is_refused_by_line(folder: Path, column: str, shown: str) -> None:
    path = write_csv(folder / "c.csv", [swap("1"), swap("2", **({} if column == "key" else {column: shown}))])
    if column == "key":
        path = write_csv(folder / "c.csv", [swap("1"), swap(shown)])
    with pytest.raises(BadRowsError) as caught:
        take_in(path, BOTH, REACH)
    assert {(mistake.line, mistake.column) for mistake in caught.value.mistakes} == {(3, column)}
    assert unsaid(caught.value.mistakes[0].message, shown.strip()) == []


def test_failed_formulas_in_metadata_are_noted_by_column(folder: Path) -> None:
    rows = open_rows(write_csv(folder / "c.csv", [swap("1", price="#N/A", sku="#1"), swap("2", price="#REF!", sku="")]))
    with take_in(rows, BOTH, REACH) as intake:
        assert intake.rows == 2
    assert unsaid(" ".join(rows.notes), "price", 2) == []
    assert "sku" not in " ".join(rows.notes)


@pytest.mark.parametrize("sign", ["\u202e", "\u2066", "\u200b", "\ufeff", "\u2028", "\u0007", "\ue000"])
def test_signs_that_change_what_a_person_reads_are_in_no_key(folder: Path, sign: str) -> None:
    with pytest.raises(BadRowsError, match="key"):
        take_in(write_csv(folder / "c.csv", [swap(f"a{sign}b")]), BOTH, REACH)
