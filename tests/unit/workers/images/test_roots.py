"""Where inputs may come from: files are judged by what is opened, whatever they are called."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.unit.catalog.catalogs import picture
from tests.words import unsaid
from workers.config.settings import Settings, SettingsError, read
from workers.images.inputs import BadInputError, Inputs
from workers.images.roots import EVERYWHERE, NotAFileError, OutsideRootsError, Roots
from workers.images.storage import Storage
from workers.images.uris import file_of


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A folder `in` that is a root, and pictures beside it."""
    picture(tmp_path / "in" / "deep" / "a.png")
    picture(tmp_path / "in-too" / "b.png")
    picture(tmp_path / "secret.png")
    return tmp_path


def test_a_file_below_a_root_is_opened_also_through_links_that_stay_inside(shop: Path) -> None:
    (shop / "entrance").symlink_to(shop / "in")
    (shop / "in" / "short.png").symlink_to(shop / "in" / "deep" / "a.png")
    whole = (shop / "in" / "deep" / "a.png").read_bytes()
    for root in ("in", "entrance"):
        roots = Roots.named([str(shop / root)])
        for place in ("in/deep/a.png", "in/short.png", "entrance/short.png", "in/deep/../short.png"):
            with roots.open(shop / place) as file:
                assert file.read() == whole, (root, place)


def two_steps(shop: Path) -> None:
    (shop / "in" / "two.png").symlink_to("one.png")
    (shop / "in" / "one.png").symlink_to("../secret.png")


ESCAPES: list[tuple[str, Callable[[Path], object]]] = [
    ("secret.png", lambda _: None),
    ("in/../secret.png", lambda _: None),
    ("in-too/b.png", lambda _: None),  # a folder whose name begins like the root's
    ("in/link.png", lambda shop: (shop / "in" / "link.png").symlink_to(shop / "secret.png")),
    ("in/up/secret.png", lambda shop: (shop / "in" / "up").symlink_to("..")),
    ("in/a/b.png", lambda shop: (shop / "in" / "a").symlink_to(shop / "in-too")),
    ("in/two.png", two_steps),
]  # fmt: skip


@pytest.mark.parametrize(("place", "lay"), ESCAPES, ids=[place for place, _ in ESCAPES])
def test_a_file_outside_is_refused_however_it_is_named(shop: Path, place: str, lay: Callable[[Path], object]) -> None:
    lay(shop)
    for root in (str(shop / "in"), f"file://{shop}/in"):
        with pytest.raises(OutsideRootsError) as caught:
            Roots.named([root]).open(shop / place)
        assert unsaid(str(caught.value), str(shop / place), "RECAST_INPUT_ROOTS") == []


def test_a_link_that_appears_between_the_check_and_the_opening_is_not_followed(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.path.realpath
    exchanged: list[Any] = []

    def checked(path: Any) -> str:
        found: str = real(path)
        if not exchanged and str(path).endswith("a.png"):
            exchanged.append(path)
            (shop / "in" / "deep").rename(shop / "in" / "was")
            (shop / "in" / "deep").symlink_to(shop / "outside")
        return found

    picture(shop / "outside" / "a.png")
    roots = Roots.named([str(shop / "in")])
    monkeypatch.setattr("workers.images.roots.os.path.realpath", checked)
    with pytest.raises(OSError, match=r"."):
        roots.open(shop / "in" / "deep" / "a.png")
    assert exchanged


def test_what_is_no_file_is_told_and_never_waited_for(shop: Path) -> None:
    os.mkfifo(shop / "in" / "pipe.png")
    for roots in (EVERYWHERE, Roots.named([str(shop / "in")])):
        for place, kind in (("in/pipe.png", "pipe"), ("in/deep", "folder")):
            with pytest.raises(NotAFileError) as caught:
                roots.open(shop / place)
            assert caught.value.kind == kind


def test_a_prefix_of_a_bucket_is_no_prefix_of_letters() -> None:
    roots = Roots.named(["s3://shop/in/"])
    roots.check("s3://shop/in/a.png")
    roots.check("https://cdn.example/a.png")
    for place in ("s3://shop/in-too/a.png", "s3://shop/a.png", "s3://other/in/a.png", "s3://shop/in/../a.png"):
        with pytest.raises(OutsideRootsError, match="RECAST_INPUT_ROOTS"):
            roots.check(place)
    with pytest.raises(OutsideRootsError):
        roots.check("/etc/hostname")
    with pytest.raises(OutsideRootsError):
        Roots.named(["/srv"]).check("s3://shop/in/a.png")


def test_workers_read_and_link_only_what_lies_below_the_roots_and_our_own_pictures(shop: Path) -> None:
    storage = picture(shop / "pictures" / "ab" / "result.png")
    settings = Settings(
        secret_key="a-key-of-the-tests", public_url="https://shop.example", storage_url=str(shop / "pictures"),
        input_roots=(str(shop / "in"),),
    )  # fmt: skip
    inputs = Inputs(settings, Storage(settings.storage))
    (shop / "in" / "link.png").symlink_to(shop / "secret.png")
    for uri in (str(shop / "in" / "deep" / "a.png"), f"file://{storage}"):
        assert inputs.read("source", uri).picture.width == 16
        assert inputs.link("source", uri).url
    for uri in (str(shop / "secret.png"), f"file://{shop}/secret.png", str(shop / "in" / "link.png"), "s3://b/a.png"):
        for use in (inputs.read, inputs.link):
            with pytest.raises(BadInputError) as caught:
                use("source", uri)
            assert unsaid(str(caught.value), "source", "RECAST_INPUT_ROOTS") == []


def test_the_setting_is_a_list_of_folders_and_prefixes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_INPUT_ROOTS", " /srv/in , s3://shop/in,")
    assert read().input_roots == ("/srv/in", "s3://shop/in")
    monkeypatch.setenv("RECAST_INPUT_ROOTS", "")
    assert not Roots.of(read())
    monkeypatch.setenv("RECAST_INPUT_ROOTS", "https://shop.example/")
    with pytest.raises(SettingsError) as caught:
        read()
    assert unsaid(str(caught.value), "RECAST_INPUT_ROOTS", "https", "s3://") == []


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        (unicodedata.normalize("NFC", "Zoë/café.png"), unicodedata.normalize("NFD", "Zoë/café.png")),
        (unicodedata.normalize("NFD", "Zoë/café.png"), unicodedata.normalize("NFC", "Zoë/café.png")),
        ("Zoë/café.png", unicodedata.normalize("NFD", "Zoë") + "/café.png"),
        ("faces\\a 1.png", "faces/a 1.png"),
        ("file://{}/a%20b%23.png", "a b#.png"),
        ("file://localhost{}/a%20b.png", "a b.png"),
        ("file://localhost{}/a b.png", "a b.png"),
        ("file://{}/caf%C3%A9.png", unicodedata.normalize("NFD", "café.png")),
        ("file://{}/100%25.png", "100%25.png"),
        ("100%.png", "100%.png"),
    ],
)
def test_a_file_is_found_as_another_program_writes_its_name(tmp_path: Path, uri: str, name: str) -> None:
    picture(tmp_path / name)
    found = file_of(uri.format(tmp_path), tmp_path)
    assert found is not None
    assert found.samefile(tmp_path / name)


def test_a_name_that_exists_as_it_is_written_is_no_other(tmp_path: Path) -> None:
    for name in ("a%20b.png", "a b.png", "faces\\a.png", "faces/a.png"):
        picture(tmp_path / name)
    assert file_of(f"file://{tmp_path}/a%20b.png") == tmp_path / "a%20b.png"
    assert file_of("faces\\a.png", tmp_path) == tmp_path / "faces\\a.png"
    assert file_of("https://h.example/a%20b.png") is None
