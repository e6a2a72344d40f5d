"""Retention and erasure: what must go goes, what others need stays, and the books stand as they stood."""

from __future__ import annotations

import hashlib
import json
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import RedisError

from models.batches import SINGLES
from reports.copies import copies
from workers.engine.prepare import _note
from workers.images.storage import StorageError
from workers.operations.forget import Person, forget
from workers.operations.prune import prune, prune_orphans

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


class House:
    """A database and a storage with pictures in it."""

    def __init__(self, database: Database, make_runtime: RuntimeFactory, folder: Path) -> None:
        self.database, self.folder = database, folder
        self.runtime = make_runtime({"storage_url": str(folder / "pictures")})

    def file(self, content: str, *, days: float = 0.0) -> str:
        """The key of a stored file, written so long ago."""
        data = content.encode()
        key = self.runtime.storage.put(data, sha256=hashlib.sha256(data).hexdigest(), suffix="jpg")
        when = time.time() - days * 86_400
        os.utime(self.folder / "pictures" / key, (when, when))
        return key

    def job(
        self, content: str, *, days: float = 0.0, batch: int = SINGLES, state: str = "succeeded", **more: Any
    ) -> str:
        """A job that ended so long ago, with a paid attempt and a picture of its own."""
        (job,) = self.database.jobs(batch=batch, state=state, **more)
        self.database.sql(
            "UPDATE jobs SET finished_at = now() - :days * interval '1 day' WHERE id = :id", days=days, id=job
        )
        attempt = self.database.attempt(job, "done", cost="0.5", outputs='\'[{"url": "https://x/y"}]\'', raw="'raw'")
        self.database.sql(
            "INSERT INTO results (job_id, attempt_id, index, key, thumbnail_key, sha256, size, media_type, width,"
            " height) VALUES (:job, :attempt, 0, :key, :small, 'ab', 3, 'image/jpeg', 1, 1)",
            job=job, attempt=attempt, key=self.file(content), small=self.file(f"small {content}"),
        )  # fmt: skip
        return job

    def stored(self) -> set[str]:
        """What the storage holds, by content."""
        return {self.runtime.storage.get(key).decode() for key, _ in self.runtime.storage.files()}

    def erased(self) -> list[str]:
        return [row.id for row in self.database.sql("SELECT id FROM jobs WHERE erased_at IS NOT NULL ORDER BY id")]


@pytest.fixture
def house(database: Database, make_runtime: RuntimeFactory, tmp_path: Path) -> House:
    return House(database, make_runtime, tmp_path)


# --- Retention ---------------------------------------------------------------------------------------------------


def test_old_pictures_go_and_the_books_stay(house: House) -> None:
    old, young = house.job("old", days=31), house.job("young", days=29)
    counted = prune(house.runtime, seconds=30 * 86_400, dry_run=True)
    assert (counted.jobs, counted.removed.files) == (1, 2)
    assert house.stored() == {"old", "small old", "young", "small young"}

    done = prune(house.runtime, seconds=30 * 86_400)

    assert (done.jobs, done.removed.files, done.removed.shared) == (1, 2, 0)
    assert house.stored() == {"young", "small young"}
    assert house.erased() == [old]
    assert [row.job_id for row in house.database.sql("SELECT job_id FROM results")] == [young]
    assert house.database.one("SELECT sum(cost) FROM attempts") == Decimal(1)
    assert prune(house.runtime, seconds=30 * 86_400).jobs == 0


def test_a_picture_that_another_job_has_too_stays(house: House) -> None:
    house.job("same", days=31)
    house.job("same", days=1)

    done = prune(house.runtime, seconds=30 * 86_400)

    assert (done.jobs, done.removed.files, done.removed.shared) == (1, 0, 2)
    assert house.stored() == {"same", "small same"}


def test_each_batch_is_kept_as_long_as_it_was_told(house: House) -> None:
    week, month, ever = (house.database.batch(name) for name in ("week", "month", "ever"))
    house.database.sql("UPDATE batches SET keep_days = 7 WHERE id = :id", id=week)
    house.database.sql("UPDATE batches SET keep_days = 30 WHERE id = :id", id=month)
    jobs = [house.job(f"{batch}", days=10, batch=batch) for batch in (week, month, ever, SINGLES)]

    assert prune(house.runtime).jobs == 1
    assert house.erased() == jobs[:1]


def test_only_what_is_asked_for_is_pruned(house: House) -> None:
    batch = house.database.batch("one")
    jobs = [house.job("a", days=9, batch=batch), house.job("b", days=9, batch=batch, state="failed")]
    jobs += [house.job("c", days=9), house.job("d", days=9, state="running")]

    assert prune(house.runtime, seconds=86_400, states=["failed"], batch="one").jobs == 1
    assert house.erased() == [jobs[1]]
    prune(house.runtime, seconds=86_400)
    assert house.erased() == jobs[:3], "what is at work is left alone"


def test_files_that_no_row_names_go_after_a_day(house: House) -> None:
    house.job("named")
    for key, _ in list(house.runtime.storage.files()):
        os.utime(house.folder / "pictures" / key, (0, 0))
    house.file("orphan", days=2)
    house.file("just stored", days=0.5)
    (house.folder / "pictures" / "notes.txt").write_text("not ours")
    assert prune_orphans(house.runtime, dry_run=True).files == 1

    assert prune_orphans(house.runtime).files == 1

    assert house.stored() == {"named", "small named", "just stored"}
    assert (house.folder / "pictures" / "notes.txt").exists()


def test_a_copy_of_an_input_stays_while_it_is_in_use(house: House) -> None:
    for uri, days in (("/in/use.jpg", 0.5), ("/long/ago.jpg", 3)):
        house.database.run(_note, uri, hashlib.sha256(uri.encode()).hexdigest(), house.file(uri, days=9))
        house.database.sql(
            "UPDATE inputs SET used_at = now() - :days * interval '1 day' WHERE uri = :uri", days=days, uri=uri
        )

    assert prune_orphans(house.runtime).files == 1

    assert house.stored() == {"/in/use.jpg"}
    assert [row.uri for row in house.database.sql("SELECT uri FROM inputs")] == ["/in/use.jpg"]


def test_a_file_that_cannot_be_removed_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.job("old", days=9)

    def refuse(_: str) -> bool:
        raise StorageError("not permitted")

    monkeypatch.setattr(house.runtime.storage, "remove", refuse)
    done = prune(house.runtime, seconds=86_400)

    assert (done.removed.files, set(done.removed.failed.values())) == (0, {"not permitted"})
    monkeypatch.undo()
    for key, _ in list(house.runtime.storage.files()):
        os.utime(house.folder / "pictures" / key, (0, 0))
    assert prune_orphans(house.runtime).files == 2, "it is found again as one that nobody names"


# --- Erasure -----------------------------------------------------------------------------------------------------


def test_a_person_is_forgotten_by_their_picture(house: House, messages: Messages) -> None:
    # Given jobs with Ann's picture, under two names, and one of Bob's
    ann, copy, bob = (house.folder / f"{name}.jpg" for name in ("ann", "copy", "bob"))
    for path, content in ((ann, "ann"), (copy, "ann"), (bob, "bob")):
        path.write_text(content)
        digest = hashlib.sha256(content.encode()).hexdigest()
        house.database.run(_note, str(path), digest, house.file(f"input {content}"))
    done_job = house.job("swapped ann", source=str(ann))
    copied = house.job("copied ann", image=str(copy))
    other = house.job("swapped bob", source=str(bob))
    (waiting,) = house.database.jobs(source=str(ann))
    house.database.sql("UPDATE jobs SET error = 'cannot read ann.jpg', extra = '{\"name\": \"Ann\"}'")
    house.database.sql("INSERT INTO callbacks (token, body) VALUES ('token', 'body')")
    house.database.sql("UPDATE attempts SET callback_token = 'token' WHERE job_id = :job", job=done_job)
    house.database.sql("INSERT INTO announcements (task_id, job_id, canvas) VALUES ('t', :job, 'ann')", job=waiting)

    # When she is to be forgotten
    counted = forget(house.runtime, Person(uris=[str(ann)]), dry_run=True)
    assert (counted.jobs, counted.files.files) == (3, 5)
    assert len(house.stored()) == 8
    done = forget(house.runtime, Person(uris=[str(ann)]))

    # Then nothing of her is left but what the books need, and nothing of Bob's is touched
    assert (done.jobs, done.canceled, done.inputs, done.files.files) == (3, 1, 2, 5)
    assert house.stored() == {"input bob", "swapped bob", "small swapped bob"}
    assert house.erased() == sorted([done_job, copied, waiting])
    kept = house.database.sql(
        "SELECT source, target, prompt, error, extra, state FROM jobs WHERE id = ANY(:ids) ORDER BY id",
        ids=[done_job, copied, waiting],
    )
    assert [tuple(row) for row in kept] == [
        (None, None, None, None, {}, state) for state in ("succeeded", "succeeded", "canceled")
    ]
    assert house.database.one("SELECT source FROM jobs WHERE id = :id", id=other) == str(bob)
    rows = house.database.sql("SELECT cost, outputs, raw FROM attempts WHERE job_id <> :bob", bob=other)
    assert [tuple(row) for row in rows] == [(Decimal("0.5"), None, None)] * 2
    assert house.database.one("SELECT count(*) FROM callbacks") == 0
    assert messages.announced == [waiting], "its producer is told"
    assert forget(house.runtime, Person(uris=[str(ann)])).jobs == 0


def test_a_person_is_forgotten_by_their_release(house: House) -> None:
    coat, face = "/catalog/coat.jpg", "/catalog/face.jpg"
    for uri in (coat, face):
        house.database.run(_note, uri, hashlib.sha256(uri.encode()).hexdigest(), house.file(uri))
    hers = house.job("hers", source=face, image=coat)
    house.job("another's", source="/catalog/other.jpg", image=coat)
    house.database.sql('UPDATE jobs SET extra = \'{"consent": "R-17", "sku": "1"}\' WHERE id = :id', id=hers)

    assert forget(house.runtime, Person(metadata=[{"consent": "R-18"}])).jobs == 0
    done = forget(house.runtime, Person(metadata=[{"consent": "R-17"}]))

    assert (done.jobs, done.inputs) == (1, 1)
    assert house.stored() == {coat, "another's", "small another's"}


def test_what_is_at_work_is_told_and_waited_for(house: House) -> None:
    (job,) = house.database.jobs(source="/ann.jpg", state="running")
    house.database.run(_note, "/ann.jpg", "ab", house.file("input"))

    done = forget(house.runtime, Person(uris=["/ann.jpg"]))

    assert (done.at_work, done.jobs, done.inputs) == ([job], 0, 0)
    assert house.stored() == {"input"}, "the provider may still fetch it"


def test_what_lies_at_a_provider_is_told(house: House) -> None:
    house.database.account("main")
    house.job("hers", source="/ann.jpg")
    house.database.run(_note, "/ann.jpg", "ab" * 32, None)
    house.database.sql(
        "INSERT INTO uploads (account, role, sha256, handle) VALUES ('main', 'source', :d, 'id-7')", d="ab" * 32
    )

    done = forget(house.runtime, Person(digests=["ab" * 32]))

    assert done.uploads == [{"account": "main", "role": "source", "handle": "id-7"}]
    assert done.sent == {"main": 1}
    assert house.database.one("SELECT count(*) FROM uploads") == 0


def test_former_versions_are_forgotten_too(house: House) -> None:
    job = house.job("now", source="/new.jpg")
    house.database.sql(
        "INSERT INTO versions (job_id, version, last_attempt, kind, source, state, extra)"
        " VALUES (:job, 1, 0, 'swap', '/ann.jpg', 'succeeded', '{\"name\": \"Ann\"}')",
        job=job,
    )

    assert forget(house.runtime, Person(uris=["/ann.jpg"])).jobs == 1
    assert tuple(house.database.sql("SELECT source, extra FROM versions")[0]) == (None, {})


def test_verdicts_about_a_persons_pictures_are_forgotten_with_them(house: House) -> None:
    hers, other = house.job("hers", source="/ann.jpg"), house.job("other", source="/ben.jpg")
    house.database.sql(
        "INSERT INTO verdicts (result_id, job_id, batch_id, person, verdict, note, area)"
        " SELECT id, job_id, 0, 'Eve', 'needs_work', 'her scar is gone', '{\"x\": 0.1}' FROM results"
    )
    house.database.sql("INSERT INTO reviews (job_id, batch_id, seq, verdict_id) SELECT job_id, 0, 1, id FROM verdicts")
    assert house.database.one("SELECT count(DISTINCT job_id) FROM verdicts") == 2

    forget(house.runtime, Person(uris=["/ann.jpg"]))

    assert {row.job_id for row in house.database.sql("SELECT job_id FROM verdicts")} == {other} != {hers}
    assert {row.job_id for row in house.database.sql("SELECT job_id FROM reviews")} == {other}


def test_what_webhooks_were_told_of_archived_jobs_is_forgotten_as_nobody_can_look_it_up(house: House) -> None:
    hers, other = house.job("hers", source="/ann.jpg"), house.job("other", source="/ben.jpg")
    house.database.sql("INSERT INTO webhooks (url, secrets, events) VALUES ('https://hooks.example', '', '{}')")
    for job in (hers, other, "archived"):
        house.database.sql(
            "INSERT INTO deliveries (webhook_id, event, data)"
            " SELECT id, 'job.succeeded', cast(:data AS jsonb) FROM webhooks",
            data=json.dumps({"job": job, "key": job, "metadata": {"model": "Ann"}, "results": [], "error": "ann.jpg"}),
        )
    house.database.sql(
        "INSERT INTO deliveries (webhook_id, event, data) SELECT id, 'batch.done', '{\"batch\": \"b\"}' FROM webhooks"
    )

    forget(house.runtime, Person(uris=["/ann.jpg"]))

    kept = {row.data.get("job"): set(row.data) for row in house.database.sql("SELECT data FROM deliveries")}
    assert kept == {
        hers: {"job", "key"}, "archived": {"job", "key"}, None: {"batch"},
        other: {"job", "key", "metadata", "results", "error"},
    }  # fmt: skip


@pytest.mark.parametrize("form", ["uri", "path", "media link", "copy"])
def test_what_was_made_of_a_persons_results_is_forgotten_too(house: House, form: str) -> None:
    # Given a chain: a result of Ann's is the source of a second job, whose result is an option of a third
    first = house.job("swapped ann", source="/ann.jpg")
    (key,) = house.database.sql("SELECT key FROM results WHERE job_id = :job", job=first)[0]
    stored = house.runtime.storage.url(key)
    named = {
        "uri": stored, "path": stored.removeprefix("file://"), "copy": "/exports/1_0.jpg",
        "media link": f"https://shop.example/media/1799999999/{'s' * 32}/{key}?x=1",
    }[form]  # fmt: skip
    if form == "copy":
        house.database.run(_note, named, Path(key).stem, house.file("input copy"))
    second = house.job("ann again", image=named)
    (again,) = house.database.sql("SELECT key FROM results WHERE job_id = :job", job=second)
    third = house.job("ann thrice")
    options = f'{{"faces": "{house.runtime.storage.url(again.key)}"}}'
    house.database.sql("UPDATE jobs SET options = :options WHERE id = :id", options=options, id=third)
    (waiting,) = house.database.jobs(target=named)
    house.job("bob", source="/bob.jpg")

    done = forget(house.runtime, Person(uris=["/ann.jpg"]))

    assert done.ended == sorted([first, second, third, waiting])
    assert house.stored() == {"bob", "small bob"}
    assert not house.database.sql("SELECT 1 FROM jobs WHERE (image, options) <> (NULL, '{}') AND erased_at IS NOT NULL")
    assert house.database.one("SELECT count(*) FROM inputs") == 0


@pytest.mark.parametrize(
    "options",
    [
        '{"input": {"mask": "https://example.com/alice.png"}}',
        '{"input": {"references": [{"images": ["x", "https://example.com/alice.png"]}]}}',
        '{"faces": ["https://example.com/alice.png"]}',
    ],
)
def test_a_picture_that_a_provider_s_own_input_names_is_found_however_deep(house: House, options: str) -> None:
    named, other = house.job("made of her"), house.job("of another")
    house.database.sql("UPDATE jobs SET options = :options WHERE id = :id", options=options, id=named)
    house.database.sql('UPDATE jobs SET options = \'{"input": {"n": 1, "a": null}}\' WHERE id = :id', id=other)
    done = forget(house.runtime, Person(["https://example.com/alice.png"]))
    assert (done.ended, house.erased()) == ([named], [named])
    assert "alice" not in str(house.database.sql("SELECT * FROM jobs"))


def test_a_result_backend_that_does_not_answer_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = [house.job(name, source="/ann.jpg") for name in ("one", "two")]
    for job in jobs:
        house.database.sql(
            "INSERT INTO announcements (task_id, job_id, canvas, announced_at) VALUES (:t, :job, '{}', now())",
            t=f"task of {job}", job=job,
        )  # fmt: skip
    tried = []

    class Unreachable:
        def __init__(self, task: str) -> None:
            self.task = task

        def forget(self) -> None:
            tried.append(self.task)
            raise RedisError("down")

    monkeypatch.setattr("workers.operations.forget.app.AsyncResult", Unreachable)

    done = forget(house.runtime, Person(uris=["/ann.jpg"]))

    assert (done.results, sorted(done.results_left)) == (0, sorted(f"task of {job}" for job in jobs))
    assert len(tried) == 1, "the others are not waited for"
    assert house.stored() == set()


def test_results_of_a_persons_tasks_leave_the_result_backend(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    removed = []

    class Result:
        def __init__(self, task: str) -> None:
            self.task = task

        def forget(self) -> None:
            removed.append(self.task)

    monkeypatch.setattr("workers.operations.forget.app.AsyncResult", Result)
    for source in ("/ann.jpg", "/bob.jpg"):
        house.database.sql(
            "INSERT INTO announcements (task_id, job_id, canvas, announced_at) VALUES (:t, :job, '{}', now())",
            t=f"task of {source}", job=house.job(source, source=source),
        )  # fmt: skip

    done = forget(house.runtime, Person(uris=["/ann.jpg"]))

    assert (removed, done.results, done.results_left) == (["task of /ann.jpg"], 1, [])


def test_what_webhooks_are_told_of_a_persons_jobs_is_emptied(house: House) -> None:
    hers, other = house.job("hers", source="/ann.jpg"), house.job("other", source="/bob.jpg")
    house.database.sql("INSERT INTO webhooks (url, events, secrets) VALUES ('https://shop.example', '{}', '')")
    house.database.sql(
        "INSERT INTO deliveries (webhook_id, event, data) SELECT w.id, 'job.succeeded', jsonb_build_object("
        "'job', j.id, 'cost', '1', 'metadata', '{\"name\": \"Ann\"}'::jsonb, 'results', '[{\"key\": \"ab\"}]'::jsonb,"
        " 'error', 'no face in ann.jpg') FROM webhooks w, jobs j"
    )

    forget(house.runtime, Person(uris=["/ann.jpg"]))

    told = {row.data["job"]: row.data for row in house.database.sql("SELECT data FROM deliveries")}
    assert told[hers] == {"job": hers, "cost": "1"}
    assert set(told[other]) == {"job", "cost", "metadata", "results", "error"}


def test_hard_links_and_copies_elsewhere_are_found(house: House, tmp_path: Path) -> None:
    job = house.job("hers", source="/ann.jpg")
    house.database.sql("UPDATE results SET size = 4, sha256 = :sha", sha=hashlib.sha256(b"hers").hexdigest())
    (row,) = house.database.sql("SELECT key FROM results WHERE job_id = :job", job=job)
    exports = tmp_path / "exports" / "deep"
    exports.mkdir(parents=True)
    os.link(house.folder / "pictures" / row.key, exports / "linked.jpg")
    (exports / "copy.jpg").write_text("hers")
    (exports / "other.jpg").write_text("hiss")

    done = forget(house.runtime, Person(uris=["/ann.jpg"]))

    assert done.links == 1
    assert sorted(path.name for path in copies(tmp_path / "exports", done.pictures)) == ["copy.jpg", "linked.jpg"]
