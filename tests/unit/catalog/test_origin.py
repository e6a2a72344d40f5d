"""Where a catalog comes from: one way to write each place, names with brackets, and a source among its targets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.columns import Row
from catalog.folders import FoundRows
from catalog.intake import SPOOLED, take_in
from catalog.origin import normalized
from catalog.rows import open_rows
from catalog.tables import TableRows
from tests.unit.catalog.catalogs import accounts, picture, swap, write_csv
from workers.jobs.routing import Reach

REACH = Reach(public_url=True, presigned=False)
ACCOUNTS = accounts("zhiqite")


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for client, side in (("a", 16), ("b", 24)):
        picture(tmp_path / f"client-{client}" / f"Shoot [{client}]" / "IMG_1.png", side=side)
    picture(tmp_path / "face.png", side=32)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("shop.csv", "./photos/../shop.csv"),
        ("https://user:secret@H.example/c.csv", "https://h.example/c.csv"),
        ("https://h.example/c.csv?X-Amz-Signature=1&X-Amz-Date=2", "https://h.example/c.csv?X-Amz-Signature=3"),
        ("https://h.example/c.csv?sig=1&se=2026&gid=4", "https://h.example/c.csv?gid=4&sig=2&se=2027"),
        ("s3://bucket/photos/", "s3://bucket/photos"),
        ("file:///srv/c.csv", "/srv/c.csv"),
    ],
)
def test_one_place_is_written_in_one_way(one: str, other: str) -> None:
    assert normalized(one) == normalized(other)
    assert "secret" not in normalized(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("a/shop.csv", "b/shop.csv"),
        ("https://a.example/c.csv", "https://b.example/c.csv"),
        ("https://h.example/export?gid=1", "https://h.example/export?gid=2"),
        ("s3://a/photos", "s3://b/photos"),
    ],
)
def test_two_places_are_two(one: str, other: str) -> None:
    assert normalized(one) != normalized(other)


def test_every_kind_of_catalog_knows_its_place(shop: Path) -> None:
    write_csv(shop / "c.csv", [swap("1")])
    assert open_rows("c.csv").place == str(shop / "c.csv")
    assert open_rows("https://h.example/in/c.csv").place == "https://h.example/in/c.csv"
    assert TableRows([swap("1")], "t").place is None, "a program's working folder says nothing"
    assert TableRows([swap("1")], "t", Path("client-a")).place == str(shop / "client-a")


@pytest.mark.parametrize("client", ["a", "b"])
@pytest.mark.parametrize("after", ["", "/", "/*.png", "/**/*", "/IMG_?.png"])
def test_a_folder_with_brackets_is_that_folder(shop: Path, client: str, after: str) -> None:
    folder = f"client-{client}/Shoot [{client}]"
    found = FoundRows(f"{folder}{after}", ["face.png"], cross=False)
    (row,) = found
    assert isinstance(row, Row)
    assert row.values["target"] == str(shop / folder / "IMG_1.png")
    assert (found.name, found.place) == (f"Shoot [{client}]", str(shop / folder))


def test_brackets_are_a_pattern_where_there_is_no_such_folder(shop: Path) -> None:
    (shop / "client-a" / "Shoot [a]").rename(shop / "client-a" / "Shoot a")
    found = FoundRows("client-a/Shoot [ab]/*.png", ["face.png"], cross=False)
    assert [row.values["key"] for row in found if isinstance(row, Row)] == ["Shoot a/IMG_1.png"]
    assert found.place == str(shop / "client-a")


def fingerprints(place: str, source: str) -> list[tuple[str, str]]:
    with take_in(FoundRows(place, [source], cross=False), ACCOUNTS, REACH) as intake:
        rows = [
            dict(zip(SPOOLED, line.split("\t"), strict=True))
            for line in b"".join(intake.chunks()).decode().split("\n")[:-1]
        ]
    return [(row["fingerprint"], row["former"]) for row in rows]


def test_a_folder_that_moves_keeps_its_fingerprints_and_another_one_has_others(shop: Path) -> None:
    before = fingerprints("client-a/Shoot [a]", "face.png")
    (shop / "client-a").rename(shop / "done")
    after = fingerprints("done/Shoot [a]", "face.png")
    assert [each[0] for each in after] == [each[0] for each in before]
    assert [each[1] for each in after] != [each[1] for each in before], "as batches have it that were made before"
    assert set(fingerprints("client-b/Shoot [b]", "face.png")).isdisjoint(after)


def test_a_source_among_its_targets_is_noticed_by_name_and_by_content(shop: Path) -> None:
    folder = shop / "client-a" / "Shoot [a]"
    (folder / "copy.png").write_bytes((folder / "IMG_1.png").read_bytes())
    os.link(folder / "IMG_1.png", folder / "link.png")
    (folder / "other.png").write_bytes((shop / "face.png").read_bytes())
    with take_in(FoundRows(str(folder), [str(folder / "IMG_1.png")], cross=False), ACCOUNTS, REACH) as intake:
        assert intake.same == ["IMG_1.png", "copy.png", "link.png"]
    with take_in(FoundRows(str(folder), [str(folder)], cross=True), ACCOUNTS, REACH) as intake:
        assert "other.png+other.png" in intake.same
        assert "other.png+copy.png" not in intake.same
    # Who writes one picture twice into a row means it.
    with take_in(
        write_csv(folder / "c.csv", [swap("1", source="copy.png", target="copy.png")]), ACCOUNTS, REACH
    ) as intake:
        assert intake.same == []
