"""Pictures as a ZIP: which, by which names, for whom, within which limits, and in how little memory."""

from __future__ import annotations

import io
import tracemalloc
import zipfile
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from desk import guests, people, releases, selecting
from models.people import Role
from models.transactions import Database as Way
from reports import zipped as archives
from reports.zipped import Wanted, zipped
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.integration.web.test_operators import audited, hidden, plain
from tests.stack import PORTRAITS
from tests.web.shop import settings, stock
from tests.words import unsaid
from web import access, downloads, looks
from web.app import build
from workers.images.storage import Storage
from workers.jobs.filters import Filter, Filtered

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.database import Database
    from workers.config.settings import Settings

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def chosen(database: Database, tmp_path: Path) -> Settings:
    return settings(database, tmp_path, web_auth=None)


@pytest.fixture
def batch(database: Database, chosen: Settings) -> int:
    for name, role in (("Vera", Role.VIEWER), ("Anna", Role.REVIEWER)):
        database.run(people.add, ROOT, name, role, PASSWORD)
    made = stock(database, Storage(chosen.storage), succeeded=4)
    database.sql("UPDATE batches SET name = 'spring' WHERE id = :id", id=made)
    return made


@pytest.fixture
def browser(chosen: Settings, batch: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    monkeypatch.setattr(access, "WRONG_SECONDS", 0.0)
    with Browser(build(chosen)) as made:
        made.sign_in("Anna")
        yield made


def files(answer: Any) -> dict[str, bytes]:
    assert answer.headers["content-type"] == "application/zip", answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        names = archive.namelist()
        assert len({name.casefold() for name in names}) == len(names)
        assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
        return {name: archive.read(name) for name in names}


def download(browser: Browser, batch: int, query: str = "", **more: Any) -> Any:
    page = browser.get(f"/batches/{batch}/download{query}")
    return browser.post(f"/batches/{batch}/download", hidden(page) | {"do": "zip"} | more)


def test_all_of_a_batch_or_what_is_ticked_comes_by_name(browser: Browser, database: Database, batch: int) -> None:
    page = browser.get(f"/batches/{batch}/download")
    assert page.status_code == 200, page.text
    assert unsaid(plain(page), "4 pictures", "4 jobs", "spring") == []
    found = files(download(browser, batch))
    assert sorted(found) == [f"row-{number}_0.png" for number in range(4)]
    original = (PORTRAITS / "astronaut.png").read_bytes()
    assert set(found.values()) != {original}, "they carry our mark"
    unmarked = files(download(browser, batch, original="1", template="{batch}/{key}.{ext}"))
    assert sorted(unmarked) == [f"spring/row-{number}.png" for number in range(4)]
    assert set(unmarked.values()) == {original}, "as the provider made them"
    ticked = {"form": browser.form("/batches"), "do": "zip", "picture": ["1:0", "3:0"]}
    assert sorted(files(browser.post(f"/batches/{batch}/download", ticked))) == ["row-0_0.png", "row-2_0.png"]
    assert [action for _, _, action in audited(database)] == ["download"] * 3


def test_single_jobs_are_downloaded_together(browser: Browser, database: Database, batch: int) -> None:
    database.sql("UPDATE jobs SET batch_id = 0, key = NULL WHERE key IN ('row-0', 'row-1')")
    ids = sorted(row.id for row in database.sql("SELECT id FROM jobs WHERE batch_id = 0"))
    page = browser.get("/batches/0/download")
    assert unsaid(plain(page), "Download pictures of single jobs", "2 pictures") == []
    answer = download(browser, 0)
    assert "single-jobs.zip" in answer.headers["content-disposition"]
    assert sorted(files(answer)) == [f"{job}_0.png" for job in ids]
    ticked = {"form": browser.form("/batches"), "do": "zip", "picture": ["1:0"]}
    assert len(files(browser.post("/batches/0/download", ticked))) == 1
    assert {subject for (subject,) in database.sql("SELECT subject FROM audit WHERE action = 'download'")} == {
        "single jobs"
    }


def test_hostile_and_equal_names_are_made_distinct(browser: Browser, database: Database, batch: int) -> None:
    for number, key in enumerate(("../../etc/passwd", "CON", "a/b", "A/B")):
        database.sql("UPDATE jobs SET key = :key WHERE id = :id", key=key, id=f"job-{number:05}")
    names = list(files(download(browser, batch)))
    assert len(names) == 4
    assert not any(set(name) & set("/\\") or name.startswith((".", "CON")) for name in names)
    assert len(files(download(browser, batch, template="same.{ext}"))) == 4, "numbered"
    for template, word in (("{nothing}", "nothing"), ("../{key}", ".."), ("{key!r}", "template"), ("x" * 501, "500")):
        refused = download(browser, batch, template=template)
        assert (refused.status_code, unsaid(refused.text, word)) == (422, []), template


def test_what_is_not_there_is_told_inside(
    browser: Browser, database: Database, batch: int, chosen: Settings
) -> None:  # fmt: skip
    database.sql("UPDATE jobs SET erased_at = now() WHERE id = 'job-00000'")
    database.sql("DELETE FROM results WHERE job_id = 'job-00000'")
    database.sql("""UPDATE jobs SET extra = '{"consent": "R-1"}' WHERE id = 'job-00001'""")
    database.run(releases.end, ROOT, "R-1")
    key = database.one("SELECT key FROM results WHERE job_id = 'job-00002'")
    database.sql("UPDATE results SET key = 'aa/bb/gone.png' WHERE job_id = 'job-00002'")
    found = files(download(browser, batch))
    assert key
    assert sorted(found) == [archives.NOTES, "row-1_0.png", "row-3_0.png"]
    told = found[archives.NOTES].decode().splitlines()
    assert len(told) == 3
    assert unsaid(told[0], "row-0", "removed") == []
    assert unsaid(told[1], "row-1", "R-1", "ended") == []
    assert unsaid(told[2], "row-2", "cannot be read") == []


def test_limits_name_themselves(
    browser: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "OF_ONE", 0)
    refused = download(browser, batch)
    assert (refused.status_code, unsaid(refused.text, "allowed: 0", "8 in all")) == (422, [])
    monkeypatch.setattr(downloads, "MOST_ZIPPED", 3)
    monkeypatch.setattr(archives, "MOST_ZIPPED", 3)
    page = browser.get(f"/batches/{batch}/download")
    assert (page.status_code, unsaid(page.text, "filter", "more than 3", "allowed")) == (422, [])
    assert "recast export" not in page.text, "a reviewer has no command"
    assert browser.get(f"/batches/{batch}/download?verdict=approved").status_code == 422, "no picture among them"
    assert browser.get("/batches/999/download").status_code == 404
    database.run(people.add, ROOT, "Otto", Role.OPERATOR, PASSWORD)
    browser.forget_cookies()
    browser.sign_in("Otto")
    assert unsaid(browser.get(f"/batches/{batch}/download").text, "recast export spring") == []


def test_viewers_and_guests_get_marked_pictures_of_what_they_see(
    browser: Browser, database: Database, batch: int
) -> None:
    other = database.batch("other")
    browser.forget_cookies()
    browser.sign_in("Vera")
    assert len(files(download(browser, batch))) == 4
    assert download(browser, batch, original="1").status_code == 403
    assert unsaid(download(browser, batch, template="{account}-{key}").text, "account", "not a column") == []
    assert browser.get(f"/batches/{batch}/download?account=main").status_code == 403
    assert "original" not in browser.get(f"/batches/{batch}/download").text
    link = database.run(guests.add, ROOT, "spring", Role.REVIEWER, 3600.0)
    browser.forget_cookies()
    where = f"/guest/{link.token}"
    browser.post(where, {"name": "Gina", "form": browser.form(where)})
    assert len(files(download(browser, batch))) == 4
    assert download(browser, batch, original="1").status_code == 403
    assert browser.get(f"/batches/{other}/download").status_code == 404


def test_a_filter_of_a_guest_is_looked_for_briefly(
    browser: Browser, database: Database, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(which: Filter) -> str:
        return f"SELECT j.id, pg_sleep(0.1) FROM {which.jobs} WHERE {which.where} LIMIT :limit"  # noqa: S608

    monkeypatch.setattr(archives, "_CHOSEN", Filtered(slow))
    monkeypatch.setattr(looks, "GUESTS_SECONDS", 0.2)
    query = f"/batches/{batch}/download?metadata=name"
    database.sql("""UPDATE jobs SET extra = '{"name": "x"}'""")
    assert browser.get(query).status_code == 200
    where = f"/guest/{database.run(guests.add, ROOT, 'spring', Role.REVIEWER, 3600.0).token}"
    browser.forget_cookies()
    browser.post(where, {"name": "Gina", "form": browser.form(where)})
    refused = browser.get(query)
    assert (refused.status_code, unsaid(plain(refused), "filter", "metadata", "name", "0.2 s", "allowed")) == (422, [])
    form = {"form": browser.form(f"/batches/{batch}"), "all": "1", "do": "approve", "request": "one", "seen": "9-9"}
    monkeypatch.setattr(selecting, "_FITTING", Filtered(slow))
    refused = browser.post(f"/batches/{batch}/verdicts", form | {"grid": "metadata=name"})
    assert (refused.status_code, unsaid(plain(refused), "metadata", "0.2 s")) == (422, [])


def test_an_archive_takes_little_memory_and_no_file(database: Database, chosen: Settings) -> None:
    storage, data = Storage(chosen.storage), bytes(1_000_000)
    made = database.batch("large")
    jobs = database.jobs(120, batch=made, state="succeeded")
    key = storage.put(data, sha256="ab" * 32, suffix="png")
    for job in jobs:
        attempt = database.attempt(job, "done", cost="0.02")
        database.sql(
            "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
            " VALUES (:job, :attempt, 0, :key, :key, :size, 'image/png', 9, 9)",
            job=job, attempt=attempt, key=key, size=len(data),
        )  # fmt: skip
    with closing(Way(database.url)) as way:
        tracemalloc.start()
        pieces = [len(piece) for piece in zipped(way, storage, Wanted("large", jobs))]
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert sum(pieces) > 120 * len(data)
    assert max(pieces) < 400_000
    assert peak < 8_000_000, "of 120 MB"
