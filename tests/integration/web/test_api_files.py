"""Pictures for programs: each file of a result, as the pages serve it, and for nobody who may not see it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from desk import guests, tokens
from models.people import Role
from tests.integration.web.asking import ROOT, Program, operation, problem, token
from tests.integration.web.test_desk import Browser
from tests.integration.web.test_guests import come
from tests.web.client import Client
from tests.web.shop import AUTH, settings, stock
from web.api import api
from web.app import build
from web.input_thumbnails import LARGE_SIDE
from web.media import Media
from workers.config.settings import Settings
from workers.images.storage import Storage, StorageError
from workers.images.thumbnails import THUMBNAIL_SIDE

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

FULL, FILE = "/results/1/file", "/results/1/file?which="
SAME = ("content-type", "content-length", "cache-control", "accept-ranges", "x-content-type-options")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "WRONG_SECONDS", 0.0)


@pytest.fixture
def there(database: Database, tmp_path: Path) -> Settings:
    found = settings(database, tmp_path)
    stock(database, Storage(found.storage))
    return found


@pytest.fixture
def reviewer(database: Database, there: Settings) -> Iterator[Program]:
    with Program(build(there), token(database, "art", Role.REVIEWER)) as program:
        yield program


@pytest.fixture
def viewer(database: Database, there: Settings) -> Iterator[Program]:
    with Program(build(there), token(database, "screen", Role.VIEWER)) as program:
        yield program


def test_each_file_is_the_one_that_the_pages_serve(database: Database, there: Settings, reviewer: Program) -> None:
    with Client(build(there), AUTH) as browser:
        for which in ("full", "original", "small", "large"):
            found, shown = reviewer.ask("GET", FILE + which), browser.get(f"/results/1/{which}")
            assert (found.status_code, found.content) == (200, shown.content), which
            assert [found.headers.get(name) for name in SAME] == [shown.headers.get(name) for name in SAME], which
            asked = reviewer.ask("HEAD", FILE + which)
            assert (asked.status_code, asked.headers["content-type"]) == (200, found.headers["content-type"])
    (row,) = database.sql("SELECT sha256, original_sha256 FROM results WHERE id = 1")
    full, original = reviewer.ask("GET", FULL), reviewer.ask("GET", f"{FILE}original")
    assert hashlib.sha256(full.content).hexdigest() == row.sha256, "as the lists of results say it"
    assert hashlib.sha256(original.content).hexdigest() == row.original_sha256
    assert reviewer.ask("HEAD", FULL).content == b""
    for which, most in (("small", THUMBNAIL_SIDE), ("large", LARGE_SIDE)):
        with Image.open(io.BytesIO(reviewer.ask("GET", FILE + which).content)) as image:
            assert max(image.size) <= most


def test_the_document_names_its_types_and_files() -> None:
    described = operation("GET", FULL)
    assert set(described["responses"]["200"]["content"]) == {"image/jpeg", "image/png", "image/webp"}
    (asked,) = [each for each in described["parameters"] if each["in"] == "query"]
    assert (asked["name"], asked["schema"]["default"]) == ("which", "full")


def test_who_sees_no_addresses_gets_pictures_and_no_original(viewer: Program, database: Database) -> None:
    for which in ("full", "small", "large"):
        assert viewer.ask("GET", FILE + which).headers["content-type"].startswith("image/")
    problem(viewer.ask("GET", f"{FILE}original"), 403, "viewer", "reviewer", "provider's own file")
    key = f"00/00/{'0' * 64}.png"
    database.sql("UPDATE results SET key = :key, thumbnail_key = NULL WHERE id = 1", key=key)
    for which in ("full", "small"):
        assert key not in str(problem(viewer.ask("GET", FILE + which), 404))


def test_a_picture_that_is_not_there_is_told(database: Database, reviewer: Program) -> None:
    for path in ("/results/99/file", "/results/one/file", f"/results/{'9' * 30}/file", "/results/1/1/file"):
        found = problem(reviewer.ask("GET", path), 404, "does not exist")
        assert (found["field"], found["value"]) == ("id", path.removeprefix("/results/").removesuffix("/file"))
    for which in ("huge", "", "FULL"):
        problem(reviewer.ask("GET", FILE + which), 422, "which", "full", "original")
    problem(reviewer.ask("GET", f"{FULL}?size=small"), 422, "size")
    database.sql("UPDATE results SET mark_start = NULL, mark_length = NULL WHERE id = 1")
    problem(reviewer.ask("GET", f"{FILE}original"), 404)
    database.sql("DELETE FROM results WHERE id = 1")
    problem(reviewer.ask("GET", FULL), 404)


def test_a_storage_that_is_down_is_told_without_its_place(
    there: Settings, viewer: Program, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def silent(*_: Any) -> None:
        raise StorageError(f"{tmp_path}: no answer")

    monkeypatch.setattr(Media, "_size", silent)
    assert str(tmp_path) not in str(problem(viewer.ask("GET", FULL), 503, "storage"))
    with Client(build(there), AUTH) as browser:
        assert browser.get("/results/1/full").status_code == HTTPStatus.SERVICE_UNAVAILABLE


def test_only_a_token_that_holds_opens_pictures(database: Database, there: Settings, viewer: Program) -> None:
    with Program(build(there), None) as stranger:
        problem(stranger.ask("GET", FULL), 401, "Bearer")
    batch = database.one("SELECT name FROM batches WHERE id > 0")
    with Browser(build(there)) as guest:
        come(guest, database.run(guests.add, ROOT, batch, Role.REVIEWER, 3600.0))
        assert guest.get("/results/1/full").status_code == HTTPStatus.OK
        assert guest.get(f"/api/v1{FULL}").status_code == HTTPStatus.UNAUTHORIZED, "a guest's cookie opens nothing here"
    database.run(tokens.revoke, ROOT, "screen")
    problem(viewer.ask("GET", FULL), 401)
