"""Signed pictures that are handed out say what people decided: exports, archives and single downloads."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.verify import _seen, _traced
from desk import guests, people
from desk.actors import Actor
from desk.selecting import Selected
from desk.selections import judge_many
from desk.verdicts import Decision, judge, undo
from models.people import Role
from models.verdicts import Verdict
from reports.copies import copies
from reports.export import jobs_of
from reports.pictures import Pictures, write_pictures
from tests.credentials import MEDIA_TYPES, Identity, identity, is_valid, picture, with_credentials
from tests.hostile.saving import file_server, paid_for, save_all
from tests.integration.web.test_desk import PASSWORD, ROOT, Browser
from tests.integration.web.test_guests import come
from tests.integration.web.test_operators import hidden
from tests.web.shop import settings
from web import access
from web.app import build
from workers.images.verifier import Reviewed, judged

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

ANNA = Actor("Anna", Role.REVIEWER)
NAMES = ("one", "two", "three")


class House:
    """A deployment that signs, with a batch of three pictures, one of each format."""

    def __init__(self, database: Database, runtime: Runtime, we: Identity, folder: Path) -> None:
        self.database, self.runtime, self.we, self.folder = database, runtime, we, folder
        self.batch = database.batch("spring")
        with file_server() as server:
            for name, (format_, media_type) in zip(NAMES, MEDIA_TYPES.items(), strict=True):
                data = with_credentials(picture(format_), media_type)
                url = server.offer(f"/{name}", data)
                job = paid_for(database, [{"url": url}], batch=self.batch)
                database.sql("UPDATE jobs SET key = :key WHERE id = :job", key=name, job=job)
            save_all(database, runtime)
        found = database.sql(
            "SELECT j.key AS name, r.id, r.key, r.sha256, r.media_type FROM results r JOIN jobs j ON j.id = r.job_id"
        )
        self.results = {row.name: row for row in found}

    def judge(self, name: str, verdict: Verdict, actor: Actor = ANNA) -> None:
        found = self.database.one(
            "SELECT coalesce((SELECT max(id) FROM verdicts WHERE result_id = :id), 0)", id=self.results[name].id
        )
        self.database.run(
            judge, actor, self.results[name].id, Decision(verdict), based_on=found, known_reasons=()
        )  # fmt: skip

    def write(self, folder: Path | str | None = None, verdict: Verdict | None = None) -> Pictures:
        runtime = self.runtime
        jobs = jobs_of(runtime, self.batch, runtime.storage, "USD", verdict)
        return write_pictures(jobs, runtime.storage, folder or self.folder, signer=runtime.signer)

    def exported(self) -> dict[str, bytes]:
        return {path.name.partition("_")[0]: path.read_bytes() for path in self.folder.iterdir()}

    def says(self, name: str, data: bytes) -> Reviewed | None:
        """The verdict that a valid file states."""
        media_type = self.results[name].media_type
        assert is_valid(data, media_type, self.we), name
        found = judged(data, media_type)
        assert found is not None
        assert found.reviewed is None or found.reviewed.picture == self.results[name].sha256
        return found.reviewed

    def say(self, files: Mapping[str, bytes]) -> dict[str, tuple[str, str | None] | None]:
        told = {name: self.says(name, data) for name, data in files.items()}
        return {name: (said.verdict, said.role) if said else None for name, said in told.items()}

    def stored(self, name: str) -> bytes:
        return self.runtime.storage.get(self.results[name].key)


@pytest.fixture(scope="module")
def we() -> Identity:
    return identity("Our Studio")


@pytest.fixture
def signing(we: Identity, tmp_path: Path) -> dict[str, Any]:
    certificate, key = we.write(tmp_path / "keys")
    return {"c2pa_certificate": certificate, "c2pa_key": key}


@pytest.fixture
def house(
    database: Database, make_runtime: RuntimeFactory, we: Identity, signing: dict[str, Any], tmp_path: Path
) -> House:
    runtime = make_runtime(signing, main={"allow_hosts": ["127.0.0.1"]})
    return House(database, runtime, we, tmp_path / "export")


def test_an_export_says_the_verdict_that_counts_then(house: House) -> None:
    """Given one approved, one that needs work and one unreviewed picture, when they are exported, then each says so;
    and when verdicts change, the next export says that."""
    house.judge("one", Verdict.APPROVED)
    house.judge("two", Verdict.NEEDS_WORK, Actor("Gina (guest)", Role.REVIEWER, "guest", house.batch))
    before = sorted(Path(house.runtime.settings.storage).rglob("*.*"))
    assert house.write().written == 3
    first = house.exported()
    assert house.say(first) == {"one": ("approved", "reviewer"), "two": ("needs_work", "guest"), "three": None}
    assert first["three"] == house.stored("three")
    assert not any(name in data for name in (b"Anna", b"Gina") for data in first.values())

    assert house.write().written == 0, "no two signatures are alike, and what is there says the same"
    assert house.exported() == first
    assert sorted(Path(house.runtime.settings.storage).rglob("*.*")) == before, "nothing more is stored"

    house.judge("one", Verdict.NEEDS_WORK, Actor("token x", Role.OPERATOR, "api"))
    house.database.run(undo, Actor("Gina (guest)", Role.REVIEWER, "guest", house.batch), house.batch)
    three = [Selected(house.results["three"].id, 0)]
    house.database.run(
        judge_many, Actor("root", Role.OPERATOR, "command"), house.batch, three, Decision(Verdict.APPROVED),
        known_reasons=(), selection="s",
    )  # fmt: skip
    assert house.write().written == 3
    assert house.say(house.exported()) == {
        "one": ("needs_work", "program"), "two": None, "three": ("approved", "operator"),
    }  # fmt: skip


def test_only_approved_pictures_say_that_they_are(house: House, tmp_path: Path) -> None:
    house.judge("one", Verdict.APPROVED)
    house.judge("two", Verdict.NEEDS_WORK)
    made = house.write(verdict=Verdict.APPROVED)
    assert (made.files, made.written) == (1, 1)
    assert house.say(house.exported()) == {"one": ("approved", "reviewer")}
    (path,) = house.folder.iterdir()
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert house.write(verdict=Verdict.APPROVED).written == 1, "what was changed there is written again"
    assert house.say(house.exported()) == {"one": ("approved", "reviewer")}
    house.database.sql("UPDATE verdicts SET role = NULL")
    assert house.write(verdict=Verdict.APPROVED).written == 1
    assert house.say(house.exported()) == {"one": ("approved", None)}, "verdicts of an older version have no role"


def test_object_storage_gets_copies_once(house: House) -> None:
    house.judge("one", Verdict.APPROVED)
    place = f"memory://{house.folder.name}-reviewed"
    assert house.write(place).written == 3
    assert house.write(place).written == 0
    house.judge("two", Verdict.APPROVED)
    assert house.write(place).written == 1


def test_a_copy_is_traced_and_found(house: House) -> None:
    """Given an exported copy, when it is asked about, then its job is known; when its picture is forgotten, it is
    found."""
    for name in NAMES:
        house.judge(name, Verdict.APPROVED)
    house.write()
    sizes = {(len(house.stored(name)), house.results[name].sha256) for name in NAMES}
    assert sorted(copies(house.folder, sizes)) == sorted(house.folder.iterdir())
    one = {each for each in sizes if each[1] == house.results["one"].sha256}
    assert [path.name.partition("_")[0] for path in copies(house.folder, one)] == ["one"]
    for path in house.folder.iterdir():
        seen, data = _seen(path)
        traced = _traced(house.runtime, seen, data)
        assert [(each.key, each.copied) for each in traced.jobs] == [(path.name.partition("_")[0], True)]


@pytest.fixture
def browser(
    house: House, signing: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Browser]:
    monkeypatch.setattr(access, "WRONG_SECONDS", 0.0)
    house.database.run(people.add, ROOT, "Anna", Role.REVIEWER, PASSWORD)
    storage = {"storage_url": house.runtime.settings.storage, "web_auth": None}
    with Browser(build(settings(house.database, tmp_path, **signing, **storage))) as made:
        yield made


def archive(browser: Browser, house: House, **more: str) -> dict[str, bytes]:
    page = browser.get(f"/batches/{house.batch}/download")
    answer = browser.post(f"/batches/{house.batch}/download", hidden(page) | {"do": "zip"} | more)
    assert answer.headers["content-type"] == "application/zip", answer.text
    with zipfile.ZipFile(io.BytesIO(answer.content)) as found:
        assert found.testzip() is None
        return {name.partition("_")[0]: found.read(name) for name in found.namelist()}


def test_downloads_say_verdicts_too(browser: Browser, house: House) -> None:
    browser.sign_in("Anna")
    house.judge("one", Verdict.APPROVED)
    house.judge("two", Verdict.NEEDS_WORK)
    expected = {"one": ("approved", "reviewer"), "two": ("needs_work", "reviewer"), "three": None}
    assert house.say(archive(browser, house)) == expected
    originals = archive(browser, house, original="1")
    assert all(judged(data, house.results[name].media_type).reviewed is None for name, data in originals.items())  # type: ignore[union-attr]
    for name, row in house.results.items():
        answer = browser.get(f"/results/{row.id}/download")
        assert answer.status_code == 200
        assert answer.headers["content-type"] == row.media_type
        assert f"{name}_0." in answer.headers["content-disposition"]
        assert answer.headers["cache-control"] == "no-store", "the verdict may change"
        assert house.say({name: answer.content}) == {name: expected[name]}
        assert browser.get(f"/results/{row.id}/full").content == house.stored(name)
    house.judge("one", Verdict.NEEDS_WORK)
    one = browser.get(f"/results/{house.results['one'].id}/download").content
    assert house.say({"one": one}) == {"one": ("needs_work", "reviewer")}
    assert browser.get("/results/999999/download").status_code == 404


def test_a_guest_downloads_pictures_of_their_batch_alone(browser: Browser, house: House) -> None:
    house.judge("one", Verdict.APPROVED)
    house.database.batch("other")
    for name, status in (("spring", 200), ("other", 404)):
        added = house.database.run(guests.add, ROOT, name, Role.VIEWER, 3600.0)
        come(browser, added)
        assert browser.get(f"/results/{house.results['one'].id}/download").status_code == status


def test_what_cannot_be_signed_is_handed_out_as_it_is_stored(
    browser: Browser, house: House, signing: dict[str, Any]
) -> None:
    """Given a web process whose key has gone, when pictures are downloaded, then they come without their verdicts, and
    an archive says so."""
    browser.sign_in("Anna")
    house.judge("one", Verdict.APPROVED)
    signing["c2pa_key"].unlink()
    answer = browser.get(f"/results/{house.results['one'].id}/download")
    assert answer.content == house.stored("one")
    assert house.say(archive(browser, house)) == dict.fromkeys(NAMES)


def test_a_table_says_what_is_said_of_each_picture(house: House) -> None:
    house.judge("one", Verdict.APPROVED)
    runtime = house.runtime
    found = {job.key: job.results[0] for job in jobs_of(runtime, house.batch, runtime.storage, "USD")}
    assert json.loads(json.dumps(found["one"]))["reviewed"]["verdict"] == "approved"
    assert found["three"]["reviewed"] is None
