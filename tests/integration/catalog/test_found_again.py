"""What is found of a batch: its jobs by id and key, how they ended, and all of it in an export."""

from __future__ import annotations

import io
import json
import uuid
from typing import Any

import pytest

from catalog.errors import UnknownBatchError, UnknownJobError
from models.states import JobState
from reports import export
from reports.batch import endings, find, recent
from reports.export import jobs_of, metadata_of, write_csv, write_json_lines
from reports.job import find_detail, listed
from tests.integration.catalog.desk import Desk, portrait, swap
from tests.words import names
from workers.jobs.filters import Filter

pytest_plugins = ["tests.integration.database"]


def test_an_unknown_batch_is_told_with_the_closest_names(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    with pytest.raises(UnknownBatchError, match=names(f"x{desk.name}", desk.name)):
        desk.runtime.db(find, f"x{desk.name}")
    assert desk.runtime.db(recent, 1)[0].name == desk.name


def test_endings_are_told_in_the_catalogs_order_or_latest_first(desk: Desk) -> None:
    desk.enqueue([swap("1"), swap("2"), swap("3")])
    batch = desk.runtime.db(find, desk.name).id
    for key, minutes in (("2", 1), ("1", 2)):
        desk.put(key, "failed", reason="lost")
        desk.sql(
            "UPDATE jobs SET finished_at = now() + :m * interval '1 min' WHERE id = :id", m=minutes, id=desk.job(key).id
        )
    assert [ending.key for ending in desk.runtime.db(endings, batch, ["failed"], 9)] == ["1", "2"]
    assert [ending.key for ending in desk.runtime.db(endings, batch, ["failed"], 1, latest=True)] == ["1"]


def test_a_job_is_found_by_id_prefix_key_or_batch_and_key(desk: Desk) -> None:
    key = f"sku_{uuid.uuid4().hex}"
    desk.enqueue([swap(key), swap("other")])
    job = desk.job(key)
    desk.attempt(key, 1, "refused", reason="throttled")
    desk.attempt(key, 2, "done", "aa/bb/" + "aabb" + "0" * 60 + ".png")
    for word in (job.id, job.id[:8], key, f"{desk.name}/{key}"):
        detail = desk.runtime.db(find_detail, word, desk.runtime.storage)
        assert detail.job.id == job.id
    assert [attempt.number for attempt in detail.attempts] == [1, 2]
    assert [result.attempt for result in detail.results] == [2]


@pytest.mark.parametrize("word", ["nothing-like-it", "%", "_" * 36, "x/y", ""])
def test_a_word_that_means_no_job(desk: Desk, word: str) -> None:
    desk.enqueue([swap("1")])
    with pytest.raises(UnknownJobError, match=names("job")):
        desk.runtime.db(find_detail, word, desk.runtime.storage)


def test_a_key_of_two_batches_means_several_jobs(desk: Desk) -> None:
    desk.enqueue([swap("twice")])
    desk.name += "-again"
    desk.enqueue([swap("twice")])
    with pytest.raises(UnknownJobError, match=names("BATCH/KEY")):
        desk.runtime.db(find_detail, "twice", desk.runtime.storage)


def test_jobs_are_listed_by_what_is_known_of_them(desk: Desk) -> None:
    desk.enqueue([swap("1"), swap("2", account="zhiqite-main"), portrait("3")])
    desk.attempt("1", 1, "done")
    desk.put("1", "failed", reason="lost")

    def keys(**which: Any) -> set[str | None]:
        return {job.key for job in desk.runtime.db(listed, Filter(batch=desk.name, **which), 50)}

    assert keys() == {"1", "2", "3"}
    assert keys(states=["failed"]) == keys(reason="lost") == keys(operation="zhiqite.swap") == {"1"}
    assert keys(account="zhiqite-main") == {"1", "2"}
    assert keys(states=["held"]) == set()


def test_a_slow_reader_holds_no_transaction_and_gets_every_job_once(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    expected = [str(number) for number in range(11)]
    desk.enqueue([swap(key) for key in expected])
    for key, state in {"1": "failed", "4": "canceled", "9": "rejected", "10": "failed"}.items():
        desk.put(key, state)
    found = []
    for job in jobs_of(desk.runtime, desk.runtime.db(find, desk.name).id, desk.runtime.storage, "USD"):
        found.append(job.key)
        idle = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in tr%'"
        assert not desk.sql(idle), "the caller works, and no transaction waits for it"
        if job.key == "5":
            desk.put("2", "failed")  # read already
            desk.put("8", "failed")  # still to be read
    assert found == expected


def test_an_export_has_every_job_its_money_its_latest_pictures_and_its_metadata(desk: Desk) -> None:
    old, new = ("aa/bb/" + "aabb" + digit * 60 + ".png" for digit in "01")
    desk.enqueue([swap("1", sku="A"), swap("2"), swap("3")])
    desk.attempt("1", 1, "done", old)
    desk.attempt("1", 2, "refused")
    desk.attempt("1", 3, "done", new)
    desk.put("1", "succeeded")
    desk.attempt("2", 1, "done", old)  # begun anew since, so its picture is another's
    batch = desk.runtime.db(find, desk.name).id

    written, lines = io.StringIO(), io.StringIO()
    storage, metadata = desk.runtime.storage, desk.runtime.db(metadata_of, batch)
    write_csv(written, jobs_of(desk.runtime, batch, storage, "USD"), metadata)
    write_json_lines(lines, jobs_of(desk.runtime, batch, storage, "USD"), [])
    table, (first, second, third) = written.getvalue(), map(json.loads, lines.getvalue().splitlines())
    assert table.splitlines()[0].endswith("checks,sku")
    assert (first["key"], first["cost"]["amount"], first["attempts"], first["metadata"]) == (
        "1",
        "0.04",
        3,
        {"sku": "A"},
    )
    assert [result["key"] for result in first["results"]] == [new]
    assert first["results"][0]["uri"].endswith(new)
    assert (second["state"], second["results"], second["cost"]) == (
        JobState.QUEUED,
        [],
        {"amount": "0.02", "currency": "USD"},
    )
    assert (third["account"], third["cost"]["amount"], third["attempts"]) == (None, "0", 0)
