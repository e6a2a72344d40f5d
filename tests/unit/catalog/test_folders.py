from __future__ import annotations

import os
from pathlib import Path

import pytest

from catalog.columns import Row
from catalog.errors import CatalogError
from catalog.folders import FoundRows, is_search
from tests.words import names, unsaid
from workers.images.roots import Roots


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photos/b.JPG", "photos/a/ü 1.png", "photos/.hidden.jpg", "photos/.trash/x.png", "photos/notes.txt",
                 "faces/anna.png", "faces/berta.png"):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(place: str, *sources: str, cross: bool = False) -> dict[str, tuple[str, str]]:
    found = {}
    for row in FoundRows(place, sources, cross=cross):
        assert isinstance(row, Row)
        assert row.values["kind"] == "swap"
        found[row.values["key"]] = tuple(os.path.relpath(row.values[role]) for role in ("source", "target"))
    return found


@pytest.mark.parametrize("place", ["photos", "photos/", "photos/**/*", "./photos"])
def test_each_picture_is_a_target_under_its_path(shop: Path, place: str) -> None:
    assert rows(place, "faces/anna.png") == {
        "b.JPG": ("faces/anna.png", "photos/b.JPG"),
        "a/ü 1.png": ("faces/anna.png", "photos/a/ü 1.png"),
    }


def test_a_pattern_finds_what_it_says(shop: Path) -> None:
    assert list(rows("photos/**/*.png", "faces/anna.png")) == ["a/ü 1.png"]
    assert list(rows("*/*.JPG", "faces/anna.png")) == ["photos/b.JPG"]
    assert list(rows("photos/b.JPG", "faces/anna.png")) == ["b.JPG"]


def test_a_folder_with_brackets_in_its_name_is_no_pattern(shop: Path) -> None:
    (shop / "photos").rename(shop / "new [2026]")
    assert is_search("new [2026]")
    assert len(rows("new [2026]", "faces/anna.png")) == 2


def test_several_sources_make_a_cross_only_when_asked_for(shop: Path) -> None:
    with pytest.raises(CatalogError, match=names("2", "4", "--cross")):
        FoundRows("photos", ["faces"], cross=False)
    found = rows("photos", "faces/anna.png", "faces/berta.png", cross=True)
    assert found == rows("photos", "faces", cross=True)
    assert set(found) == {"anna.png+b.JPG", "berta.png+b.JPG", "anna.png+a/ü 1.png", "berta.png+a/ü 1.png"}
    assert found["berta.png+b.JPG"] == ("faces/berta.png", "photos/b.JPG")


@pytest.mark.parametrize(
    ("place", "name"), [("photos", "photos"), ("photos/**/*.jpg", "photos"), ("photos/b.JPG", "b")]
)
def test_the_batch_is_called_like_what_was_searched(shop: Path, place: str, name: str) -> None:
    if "*.jpg" in place:
        (shop / "photos" / "c.jpg").touch()
    assert FoundRows(place, ["faces/anna.png"], cross=False).name == name


@pytest.mark.parametrize(
    ("place", "sources", "message"),
    [
        ("photos", [], names("--source")),
        ("photos/*.webp", ["faces/anna.png"], names("photos/*.webp")),
        ("gone/", ["faces/anna.png"], names("gone")),
        ("photos", ["faces/clara.png"], names("faces/clara.png")),
        ("https://x/a*.jpg", ["faces/anna.png"], names("s3://")),
    ],
)
def test_what_cannot_be_found(shop: Path, place: str, sources: list[str], message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        FoundRows(place, sources, cross=False)


@pytest.mark.parametrize("place", ["spring.csv", "s3://b/spring.parquet", "https://x/c.jsonl.gz", "gone"])
def test_a_catalog_is_no_search(shop: Path, place: str) -> None:
    assert not is_search(place)


@pytest.mark.parametrize("place", ["photos/*.jpg", "s3://b/photos/", "s3://b/**", "s3://b/a.png", "photos"])
def test_a_search_is_no_catalog(shop: Path, place: str) -> None:
    assert is_search(place)


@pytest.mark.parametrize(
    "place",
    [
        "https://h/d/export?format=csv",
        "https://h/[a]*?x=*",
        "https://h/d/",
        "Spring [2027].csv",
        "in/*.csv",
        "s3://b/*.csv",
    ],
)
def test_wildcards_mean_nothing_in_addresses_and_in_the_names_of_catalogs(shop: Path, place: str) -> None:
    assert not is_search(place)


def test_a_search_tells_what_it_leaves_out_by_kind(shop: Path) -> None:
    for name in ("1.TIF", "a/2.tif", "3.psd", "4.dng", "6.X3F", ".5.tif", "notes.txt"):
        (shop / "photos" / name).touch()
    (shop / "photos" / "c.jfif").write_bytes((shop / "photos" / "b.JPG").read_bytes())
    found = FoundRows("photos", ["faces/anna.png"], cross=False)
    assert "c.jfif" in [row.values["key"] for row in found if isinstance(row, Row)]
    (note,) = found.notes
    assert unsaid(note, "photos", "2 .tif", "1 .psd", "1 .dng", "1 .x3f", "JPEG") == []
    assert ".txt" not in note
    with pytest.raises(CatalogError, match=names("1 .tif", ".jpg")):
        FoundRows("photos/**/*.tif", ["faces/anna.png"], cross=False)


def test_what_is_behind_a_link_to_a_folder_is_told(shop: Path) -> None:
    (shop / "photos" / "more").symlink_to(shop / "faces")
    for place in ("photos", "photos/*"):
        found = FoundRows(place, ["faces/anna.png"], cross=False)
        assert unsaid(" ".join(found.notes), place, "1 linked folder") == []
        assert not any("more" in row.values["key"] for row in found if isinstance(row, Row))


def test_a_pattern_finds_no_folder_that_is_called_like_a_picture(shop: Path) -> None:
    (shop / "photos" / "c.jpg").mkdir()
    assert list(rows("photos/*", "faces/anna.png")) == ["b.JPG"]


@pytest.mark.parametrize("place", ["gone.jpg", "gone.heic", "photos/gone.png"])
def test_a_picture_that_is_not_there_is_told(shop: Path, place: str) -> None:
    with pytest.raises(CatalogError, match=names(place, "no such file")):
        FoundRows("photos", [place], cross=False)


def test_a_search_stays_below_the_roots(shop: Path) -> None:
    roots = Roots.named([str(shop / "photos")])
    for place, source in (
        ("photos", "faces/anna.png"),
        ("faces", "photos/b.JPG"),
        ("photos/../faces/*", "photos/b.JPG"),
    ):
        with pytest.raises(CatalogError, match=names("RECAST_INPUT_ROOTS")):
            FoundRows(place, [source], cross=False, roots=roots)
    assert len(list(FoundRows("photos", ["photos/b.JPG"], cross=False, roots=roots))) == 2
