"""Catalogs on a real database: what becomes of rows that are new, changed, failed or in work; what is told of it."""

from __future__ import annotations

import io
import itertools
import json
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import migrations
from catalog.enqueue import Enqueued, enqueue
from catalog.errors import CatalogError, SamePictureError, UnknownBatchError, UnknownJobError
from catalog.folders import FoundRows
from catalog.intake import SPOOLED, Intake, take_in
from catalog.origin import OtherPlaceError
from devstack.servers import Servers
from models.identity import client_reference
from models.states import AttemptState, Closure, JobState
from recast.hints import hint
from reports import export
from reports.batch import endings, find, recent
from reports.export import jobs_of, metadata_of, write_csv, write_json_lines
from reports.job import find_detail, listed
from reports.obstacles import needs_person, obstacles, waits_for
from reports.text import paused, stopped, waiting_for_decision
from tests.unit.catalog import catalogs
from tests.words import names, unsaid
from workers.accounts import admission
from workers.config.accounts import Account
from workers.config.settings import Settings
from workers.engine import begin, claims, saving
from workers.engine.effects import Effects
from workers.engine.record import record
from workers.engine.runtime import Runtime
from workers.engine.wake import submit_pump
from workers.jobs.filters import Filter
from workers.jobs.moves import AttemptMove, JobMove
from workers.jobs.routing import Reach
from workers.jobs.run_options import RunOptions
from workers.restore import hold

REACH = Reach(public_url=True, presigned=False)
_numbers = itertools.count(1)


class Desk:
    """A runtime on a database of its own, and a catalog that can be written and enqueued again and again."""

    def __init__(self, runtime: Runtime, folder: Path, woken: list[str]) -> None:
        self.runtime, self.folder, self.woken = runtime, folder, woken
        self.name = f"batch-{next(_numbers)}"
        catalogs.picture(folder / "a.png")
        catalogs.picture(folder / "b.png")

    def take(self, rows: list[dict[str, Any]], accounts: Mapping[str, Account] | None = None) -> Intake:
        path = catalogs.write_csv(self.folder / f"{self.name}.csv", rows)
        return take_in(path, accounts or self.runtime.accounts, REACH)

    def enqueue(self, rows: list[dict[str, Any]], **more: Any) -> Enqueued:
        with self.take(rows) as intake:
            return enqueue(self.runtime, intake, RunOptions(**more))

    def sql(self, statement: str, **parameters: Any) -> list[Any]:
        with self.runtime.engine.begin() as connection:
            result = connection.execute(text(statement), {"batch": self.name, **parameters})
            return list(result) if result.returns_rows else []

    def job(self, key: str) -> Any:
        (row,) = self.sql(
            "SELECT j.* FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE b.name = :batch AND key = :key", key=key
        )
        return row

    def put(self, key: str, state: str, **columns: Any) -> None:
        """Have the job `key` stand in `state`, and the batch's counts with it."""
        job = self.job(key)
        assignments = "".join(f", {name} = :{name}" for name in columns)
        self.sql(f"UPDATE jobs SET state = :state{assignments} WHERE id = :id", state=state, id=job.id, **columns)  # noqa: S608
        self.sql(f"UPDATE batches SET {job.state} = {job.state} - 1 WHERE name = :batch")  # noqa: S608
        self.sql(f"UPDATE batches SET {state} = {state} + 1 WHERE name = :batch")  # noqa: S608

    def attempt(self, key: str, number: int, state: str, *pictures: str, **columns: Any) -> None:
        """Have an attempt on record, with results under these storage keys."""
        job = self.job(key)
        values = {
            "id": client_reference(job.id, number), "job_id": job.id, "number": number, "batch_id": job.batch_id,
            "account": "zhiqite-main", "operation": "zhiqite.swap", "state": state, "cost": Decimal("0.02"), **columns,
        }  # fmt: skip
        names = ", ".join(values)
        self.sql(
            f"INSERT INTO attempts ({names}, sent_at, deadline_at)"  # noqa: S608
            f" VALUES ({', '.join(f':{name}' for name in values)}, now(), now())",
            **values,
        )
        for index, picture in enumerate(pictures):
            self.sql(
                "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
                " VALUES (:job, :attempt, :index, :key, 'ab', 3, 'image/png', 1, 1)",
                job=job.id,
                attempt=values["id"],
                index=index,
                key=picture,
            )

    def assert_counts_are_true(self) -> None:
        true = self.sql(
            "SELECT state, count(*) AS n FROM jobs JOIN batches b ON b.id = batch_id WHERE b.name = :batch"
            " GROUP BY state"
        )
        kept = self.runtime.db(find, self.name).counts
        assert {state: number for state, number in kept.items() if number} == {row.state: row.n for row in true}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    with Servers(tmp_path_factory.mktemp("servers"), durable=False) as servers:
        yield servers


@pytest.fixture(scope="module")
def runtime(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    home = tmp_path_factory.mktemp("home")
    settings = Settings(
        _env_file=None, database_url=servers.urls.database, broker_url=servers.urls.broker, home=home,
        storage_url=str(home / "pictures"), accounts_file=home / "accounts.toml",
    )  # fmt: skip
    (home / "accounts.toml").write_text("""
        [accounts.zhiqite-main]
        provider = "zhiqite"
        base_url = "http://127.0.0.1:1"
        access_key_id = "k"
        access_key_secret = "s"
        prices = { swap = "0.02 USD" }
        [accounts.qolaba-main]
        provider = "qolaba"
        base_url = "http://127.0.0.1:1"
        token = "t"
        prices = { consistency = "0.03 USD/picture", avatar = "0.03 USD/picture" }
    """)
    runtime = Runtime(settings)
    migrations.upgrade(runtime.engine)
    yield runtime
    runtime.close()


@pytest.fixture
def desk(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    woken: list[str] = []
    monkeypatch.setattr("catalog.enqueue.wake", lambda _, *names: woken.extend(names))
    return Desk(runtime, tmp_path, woken)


swap, portrait = catalogs.swap, catalogs.portrait


def test_new_rows_are_queued_in_their_order_and_whoever_can_do_them_is_woken(desk: Desk) -> None:
    done = desk.enqueue([swap("z", sku="7"), swap("a", prompt=""), swap("m")])
    assert (done.new, done.queued, done.cost) == (3, 3, Decimal("0.06"))
    rows = desk.sql("SELECT key FROM jobs JOIN batches b ON b.id = batch_id WHERE b.name = :batch ORDER BY seq")
    assert [row.key for row in rows] == ["z", "a", "m"]
    job = desk.job("z")
    assert (job.state, job.lane, job.extra) == ("queued", "zhiqite.swap", {"sku": "7"})
    assert job.source == str(desk.folder / "a.png")
    assert desk.woken == ["submit:zhiqite-main"]
    desk.assert_counts_are_true()


def test_texts_of_every_kind_arrive_as_they_are(desk: Desk) -> None:
    prompt = 'tabs\tand "quotes",\nlines \\ \\N \\. ü 😀'
    desk.enqueue([portrait("1", prompt=prompt, note=prompt, options='{"batch": 2, "negative_prompt": "\\\\ \\n"}')])
    job = desk.job("1")
    assert (job.prompt, job.extra) == (prompt, {"note": prompt})
    assert job.options == {"batch": 2, "negative_prompt": "\\ \n"}


def test_again_changes_nothing_but_metadata(desk: Desk) -> None:
    desk.enqueue([swap("1", note="old"), swap("2")])
    desk.put("1", "succeeded")
    before = desk.job("1")
    done = desk.enqueue([swap("1", note="new"), swap("2"), swap("3")])
    assert (done.new, done.unchanged, done.changed, done.cost) == (1, 2, 0, Decimal("0.02"))
    after = desk.job("1")
    assert after.extra == {"note": "new"}
    assert {**after._mapping, "extra": None} == {**before._mapping, "extra": None}
    desk.assert_counts_are_true()


@pytest.mark.parametrize(
    ("state", "retry_rejected", "verdict", "now"),
    [
        ("failed", False, "retried", "queued"),
        ("rejected", False, "left", "rejected"),
        ("rejected", True, "retried", "queued"),
        ("canceled", True, "left", "canceled"),
        ("held", True, "left", "held"),
        ("queued", True, "unchanged", "queued"),
        ("running", True, "unchanged", "running"),
        ("saving", True, "unchanged", "saving"),
        ("succeeded", True, "unchanged", "succeeded"),
    ],
)
def test_the_same_row_by_the_state_of_its_job(
    desk: Desk, state: str, retry_rejected: bool, verdict: str, now: str
) -> None:
    desk.enqueue([swap("1")])
    desk.put("1", state, reason="lost", error="gone")
    done = desk.enqueue([swap("1")], retry_rejected=retry_rejected)
    assert getattr(done, verdict) == 1
    job = desk.job("1")
    assert job.state == now
    if verdict == "retried":
        assert (job.reason, job.error, job.finished_at) == (None, None, None)
    desk.assert_counts_are_true()


@pytest.mark.parametrize(
    ("state", "verdict", "now"),
    [
        ("succeeded", "changed", "queued"),
        ("failed", "changed", "queued"),
        ("rejected", "changed", "queued"),
        ("canceled", "changed", "queued"),
        ("queued", "changed", "queued"),
        ("running", "in_work", "running"),
        ("saving", "in_work", "saving"),
        ("held", "in_work", "held"),
    ],
)
def test_a_changed_row_by_the_state_of_its_job(desk: Desk, state: str, verdict: str, now: str) -> None:
    desk.enqueue([portrait("1", prompt="old")])
    desk.put("1", state)
    done = desk.enqueue([portrait("1", prompt="new", options='{"batch": 2}')])
    assert getattr(done, verdict) == 1
    job = desk.job("1")
    assert (job.state, job.prompt) == (now, "new" if verdict == "changed" else "old")
    assert done.cost == (Decimal("0.06") if verdict == "changed" else 0)
    desk.assert_counts_are_true()


def test_a_job_that_a_worker_prepares_keeps_its_inputs(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old")])
    desk.sql("UPDATE jobs SET claimed_until = now() + interval '1 minute' WHERE id = :id", id=desk.job("1").id)
    assert desk.enqueue([portrait("1", prompt="new")]).in_work == 1
    desk.sql("UPDATE jobs SET claimed_until = now() - interval '1 second' WHERE id = :id", id=desk.job("1").id)
    assert desk.enqueue([portrait("1", prompt="new")]).changed == 1
    assert (desk.job("1").prompt, desk.job("1").claimed_until) == ("new", None)


OLD, NEW = (f"{digit * 2}/{digit * 2}/{digit * 64}.png" for digit in "ab")


def test_a_changed_row_is_unreviewed_again_and_its_history_is_kept(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old"), portrait("2", prompt="old")])
    of_this = "batch_id = (SELECT id FROM batches WHERE name = :batch)"
    desk.sql(f"UPDATE jobs SET state = 'succeeded' WHERE {of_this}")  # noqa: S608
    desk.sql("UPDATE batches SET queued = 0, succeeded = 2 WHERE name = :batch")
    desk.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict)"  # noqa: S608
        f" SELECT id, batch_id, seq, 'approved' FROM jobs WHERE {of_this}"
    )
    assert desk.enqueue([portrait("1", prompt="new"), portrait("2", prompt="old")]).changed == 1
    rows = desk.sql(f"SELECT j.key FROM reviews r JOIN jobs j ON j.id = r.job_id WHERE r.{of_this}")  # noqa: S608
    assert [row.key for row in rows] == ["2"]


def test_a_changed_row_is_a_new_version_and_the_former_one_is_kept(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old")])
    desk.attempt("1", 1, "refused")
    desk.attempt("1", 2, "done", OLD, outputs="[]")
    desk.put("1", "succeeded")
    desk.enqueue([portrait("1", prompt="new")])

    detail = desk.runtime.db(find_detail, f"{desk.name}/1", desk.runtime.storage)
    (former,) = detail.versions
    assert (detail.job.version, detail.job.prompt) == (2, "new")
    assert (former.version, former.prompt, former.state, former.last_attempt) == (1, "old", "succeeded", 2)
    assert [(item.number, item.version) for item in detail.attempts] == [(1, 1), (2, 1)]
    assert [(item.key, item.version) for item in detail.results] == [(OLD, 1)]
    assert exported(desk) == [], "the new version has no picture yet"

    desk.attempt("1", 3, "done", NEW, outputs="[]")
    desk.put("1", "succeeded")
    assert exported(desk) == [NEW]
    detail = desk.runtime.db(find_detail, f"{desk.name}/1", desk.runtime.storage)
    assert [item.version for item in detail.results] == [1, 2]

    desk.enqueue([portrait("1", prompt="newer")])
    detail = desk.runtime.db(find_detail, f"{desk.name}/1", desk.runtime.storage)
    assert [(item.version, item.last_attempt) for item in detail.versions] == [(1, 2), (2, 3)]


def exported(desk: Desk) -> list[str]:
    """Keys of the pictures that the batch's export has."""

    batch = desk.runtime.db(find, desk.name).id
    return [
        result["key"] for job in jobs_of(desk.runtime, batch, desk.runtime.storage, "USD") for result in job.results
    ]


def test_a_row_that_is_tried_again_stays_the_version_it_is(desk: Desk) -> None:
    desk.enqueue([portrait("1")])
    desk.attempt("1", 1, "done")
    desk.put("1", "failed")
    assert desk.enqueue([portrait("1")]).retried == 1
    assert (desk.job("1").version, desk.job("1").former_attempts) == (1, 0)


@pytest.mark.parametrize("state", ["running", "expired"])
def test_a_late_result_of_a_former_version_is_not_the_present_ones(desk: Desk, state: str) -> None:
    # Given a job that was canceled while its attempt was under way, and whose row was changed
    desk.enqueue([portrait("1", prompt="old")])
    desk.attempt("1", 1, state, account="qolaba-main", operation="qolaba.consistency")
    desk.put("1", "canceled")
    desk.enqueue([portrait("1", prompt="new")])
    desk.attempt("1", 2, "running", account="qolaba-main", operation="qolaba.consistency")
    desk.put("1", "running")

    # When the result comes
    old = client_reference(desk.job("1").id, 1)
    done = AttemptMove(old, AttemptState.DONE, accepted=True, outputs='[{"url": "https://example.com/old.png"}]')
    effects = Effects(done, JobMove(desk.job("1").id, JobState.SAVING))
    recorded = desk.runtime.db(record, "qolaba-main", [effects])

    # Then the books know it, and the job waits for its own
    assert [row.state for row in desk.sql("SELECT state FROM attempts WHERE id = :id", id=old)] == ["done"]
    assert (desk.job("1").state, recorded.saving) == ("running", False)
    desk.put("1", "saving")
    new = client_reference(desk.job("1").id, 2)
    desk.sql("UPDATE attempts SET state = 'done', outputs = '[]' WHERE id = :id", id=new)
    (claimed,) = [item for item in desk.runtime.db(saving.claim, 100) if item.job_id == desk.job("1").id]
    assert claimed.attempt_id == new


def test_inputs_that_were_read_before_the_change_are_not_sent(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old")])
    account = desk.runtime.accounts["qolaba-main"]
    claimed = [claim for claim in desk.runtime.db(claims.claim, account, 100) if claim.job_id == desk.job("1").id]
    desk.sql("UPDATE jobs SET claimed_until = now() - interval '1 second' WHERE id = :id", id=desk.job("1").id)
    assert desk.enqueue([portrait("1", prompt="new")]).changed == 1

    ready = [begin.Ready(claim, Decimal(0), locator=None, callback_token=None) for claim in claimed]
    assert not desk.runtime.db(begin.begin, account, ready).started
    assert desk.job("1").state == "queued"


def test_rows_that_a_restored_backup_may_have_missed_are_held_first(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.put("1", "failed")
    desk.runtime.db(hold.begin, desk.runtime.accounts, 3, 7)
    done = desk.enqueue([swap("1"), swap("2"), portrait("3")])
    desk.runtime.db(hold.end)

    assert (done.retried, done.new, done.held) == (1, 2, 3)
    assert {desk.job(key).state for key in "123"} == {"held"}
    desk.assert_counts_are_true()
    assert desk.enqueue([swap("1"), swap("2"), portrait("3"), swap("4")]).held == 0
    assert desk.job("4").state == "queued"


def test_another_picture_under_the_same_name_is_a_change(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.put("1", "succeeded")
    catalogs.picture(desk.folder / "a.png", side=24)
    assert desk.enqueue([swap("1")]).changed == 1


def test_a_catalog_that_moved_leads_to_its_pictures_where_they_are_now(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.folder = desk.folder.rename(desk.folder.with_name(f"{desk.folder.name}-moved"))
    assert desk.enqueue([swap("1")]).unchanged == 1
    assert desk.job("1").source == str(desk.folder / "a.png")


def test_a_catalog_of_another_place_does_not_replace_a_batch_of_its_name(desk: Desk, tmp_path: Path) -> None:
    rows = [swap("1"), swap("2")]
    desk.enqueue(rows, max_cost=Decimal(1), label="theirs")
    ours, desk.folder = desk.folder, tmp_path / "another shop"
    for name in ("a.png", "b.png"):
        catalogs.picture(desk.folder / name, side=24)

    with pytest.raises(OtherPlaceError, match=names(desk.name, ours, desk.folder, "--name", "--moved")):
        desk.enqueue(rows, max_cost=Decimal(9), label="ours")
    with pytest.raises(OtherPlaceError):
        desk.enqueue([swap("3")])
    (batch,) = desk.sql("SELECT max_cost, label, place FROM batches WHERE name = :batch")
    assert (batch.max_cost, batch.label, batch.place) == (1, "theirs", str(ours / f"{desk.name}.csv"))
    assert desk.job("1").source == str(ours / "a.png")

    assert desk.enqueue(rows, moved=True).changed == 2
    assert desk.enqueue(rows).unchanged == 2, "the batch is that of the new place now"
    desk.folder = ours
    with pytest.raises(OtherPlaceError):
        desk.enqueue(rows)


def test_a_batch_without_a_known_place_takes_the_next_one(desk: Desk, tmp_path: Path) -> None:
    desk.enqueue([swap("1")])
    desk.sql("UPDATE batches SET place = NULL WHERE name = :batch")
    desk.folder = tmp_path / "another shop"
    for name in ("a.png", "b.png"):
        catalogs.picture(desk.folder / name, side=24)
    assert desk.enqueue([swap("1")]).changed == 1
    assert desk.sql("SELECT place FROM batches WHERE name = :batch") == [(str(desk.folder / f"{desk.name}.csv"),)]


def test_pictures_that_were_found_before_folders_could_move_stay_done(desk: Desk) -> None:
    catalogs.picture(desk.folder / "photos" / "1.png", side=20)

    def run() -> Enqueued:
        found = FoundRows(str(desk.folder / "photos"), [str(desk.folder / "a.png")], cross=False)
        with take_in(found, desk.runtime.accounts, REACH, name=desk.name) as intake:
            former = [
                line.split(b"\t")[SPOOLED.index("former")].decode() for line in b"".join(intake.chunks()).splitlines()
            ]
            desk.sql("UPDATE jobs SET fingerprint = :former WHERE fingerprint = 'as before'", former=former[0])
            return enqueue(desk.runtime, intake, RunOptions())

    assert run().new == 1
    desk.sql("UPDATE jobs SET fingerprint = 'as before' WHERE key = '1.png' AND batch_id = "
             "(SELECT id FROM batches WHERE name = :batch)")  # fmt: skip
    assert run().unchanged == 1
    desk.folder = desk.folder.rename(desk.folder.with_name(f"{desk.folder.name}-moved"))
    assert run().unchanged == 1


def test_a_source_among_its_targets_is_not_paid_without_a_word(desk: Desk) -> None:
    photos = desk.folder / "photos"
    for number, side in enumerate((20, 24)):
        catalogs.picture(photos / f"{number}.png", side=side)

    def run(*, agreed: bool = False) -> Enqueued:
        with take_in(
            FoundRows(str(photos), [str(photos / "0.png")], cross=False), desk.runtime.accounts, REACH, name=desk.name
        ) as intake:
            if agreed:
                intake.same.clear()
            return enqueue(desk.runtime, intake, RunOptions())

    with pytest.raises(SamePictureError, match=names("0.png", "--same-picture")):
        run()
    assert desk.sql("SELECT 1 FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE b.name = :batch") == []
    assert run(agreed=True).new == 2
    assert run().unchanged == 2, "what is done costs nothing"


def test_rows_that_left_the_catalog_stay(desk: Desk) -> None:
    desk.enqueue([swap("1"), swap("2")])
    desk.enqueue([swap("1")])
    assert desk.job("2").state == "queued"


def test_two_runs_at_once_enqueue_each_row_once(desk: Desk) -> None:
    rows = [swap(str(number)) for number in range(500)]
    takes = [desk.take(rows) for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda intake: enqueue(desk.runtime, intake), takes))
    for intake in takes:
        intake.__exit__()
    assert sorted(each.new for each in done) == [0, 0, 0, 500]
    assert sum(each.unchanged for each in done) == 1_500
    desk.assert_counts_are_true()


def test_a_limit_is_kept_until_another_is_named(desk: Desk) -> None:
    desk.enqueue([swap("1")], max_cost=Decimal(5))
    desk.enqueue([swap("1")])
    assert desk.runtime.db(find, desk.name).max_cost == Decimal(5)


@pytest.mark.parametrize(("reason", "goes_on"), [("budget", True), ("person", False)])
def test_a_higher_limit_lets_a_batch_go_on_that_had_spent_its_limit(desk: Desk, reason: str, goes_on: bool) -> None:
    desk.enqueue([swap("1")], max_cost=Decimal("0.01"))
    desk.sql("UPDATE batches SET paused_at = now(), paused_reason = :reason WHERE name = :batch", reason=reason)
    desk.enqueue([swap("1")])
    assert desk.runtime.db(find, desk.name).paused_reason == reason
    desk.enqueue([swap("1")], max_cost=Decimal(1))
    assert desk.runtime.db(find, desk.name).paused_reason == (None if goes_on else reason)


def test_money_that_is_not_counted_cannot_be_limited(desk: Desk) -> None:
    override = "UPDATE accounts SET overrides = cast(:overrides AS jsonb) WHERE name = 'zhiqite-main'"
    desk.sql(override, overrides='{"prices": {"swap": null}}')
    try:
        with (
            desk.take([swap("1")]) as intake,
            pytest.raises(CatalogError, match=names("zhiqite-main")),
        ):
            enqueue(desk.runtime, intake, RunOptions(max_cost=Decimal(1)))
    finally:
        desk.sql(override, overrides="{}")
    with pytest.raises(UnknownBatchError):
        desk.runtime.db(find, desk.name)


# --- What is told -------------------------------------------------------------------------------------------------


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


def stuck(desk: Desk) -> str | None:
    accounts = desk.runtime.accounts
    return desk.runtime.db(needs_person, desk.runtime.db(find, desk.name), accounts, "USD")


@pytest.mark.parametrize("reason", ["auth", "credit", "budget", "paused"])
def test_a_batch_whose_accounts_are_closed_needs_a_person(desk: Desk, reason: str) -> None:
    desk.enqueue([swap("1")])
    assert stuck(desk) is None
    desk.runtime.db(admission.stop, "zhiqite-main", Closure(reason))
    try:
        assert unsaid(stuck(desk) or "", "zhiqite-main", stopped(Closure(reason), None)) == []
        desk.put("1", "running")
        assert stuck(desk) is None
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_jobs_that_moved_after_the_batch_was_read_are_not_taken_for_paused(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    before = desk.runtime.db(find, desk.name)
    desk.put("1", "running")
    assert desk.runtime.db(needs_person, before, desk.runtime.accounts, "USD") is None


def test_what_an_account_answered_is_told_while_a_batch_waits_for_it(desk: Desk) -> None:
    desk.enqueue([swap("1")])

    def waits() -> list[str]:
        return desk.runtime.db(waits_for, desk.runtime.db(find, desk.name), desk.runtime.accounts)

    assert waits() == []
    desk.runtime.db(admission.stop_for, "zhiqite-main", Closure.THROTTLED, 60.0, "the kitchen is full")
    try:
        (said,) = waits()
        assert unsaid(said, "zhiqite-main", "the kitchen is full") == []
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_what_stops_a_batch_is_said_in_the_words_of_whoever_finds_it(desk: Desk) -> None:
    desk.enqueue([swap("1"), swap("2")])

    def said(*, knows_accounts: bool = True) -> list[str]:
        accounts = desk.runtime.accounts if knows_accounts else None
        return desk.runtime.db(obstacles, desk.runtime.db(find, desk.name), accounts, "USD")

    assert said() == []
    # A worker that is due serves the jobs, until it has been due for long.
    pump = submit_pump("zhiqite-main")
    for seconds, late in ((5, 0), (300, 1)):
        desk.sql(
            "INSERT INTO leases (name, wake_at) VALUES (:pump, now() - :seconds * interval '1 s') "
            "ON CONFLICT (name) DO UPDATE SET wake_at = excluded.wake_at, until = NULL", pump=pump, seconds=seconds,
        )  # fmt: skip
        assert len(said()) == late
    assert unsaid(said()[0], "5 min", hint("up")) == []
    desk.runtime.db(admission.stop, "zhiqite-main", Closure.AUTH)
    try:
        assert said() == [stuck(desk)]
        # Who cannot read the accounts says what the batch itself says.
        assert said(knows_accounts=False) == []
        desk.sql("UPDATE batches SET paused_at = now(), paused_reason = 'person' WHERE name = :batch")
        assert said(knows_accounts=False) == [paused("person")]
        # A job at a provider can end first; one that is held waits for a person all the same.
        desk.put("1", "running")
        assert said() == []
        desk.put("1", "held")
        assert said()[1:] == [f"{waiting_for_decision(1)}: {hint('resolve', batch=desk.name)}"]
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_results_that_cannot_be_saved_say_why(desk: Desk) -> None:
    """A full disk, or a storage that is away, holds what was paid for; nothing else would tell."""
    desk.enqueue([swap("1"), swap("2")])
    for key in ("1", "2"):
        desk.put(key, "saving")

    def said() -> list[str]:
        return desk.runtime.db(obstacles, desk.runtime.db(find, desk.name), desk.runtime.accounts, "USD")

    assert said() == []
    desk.sql(
        "UPDATE jobs SET error = 'No space left on device', not_before = now() + interval '20 s'"
        " WHERE batch_id = (SELECT id FROM batches WHERE name = :batch) AND key = '2'"
    )
    (told,) = said()
    assert unsaid(told, "1", "No space left on device") == []


def test_a_provider_that_asks_to_wait_needs_no_person(desk: Desk) -> None:
    desk.enqueue([swap("1")])
    desk.runtime.db(admission.stop_for, "zhiqite-main", Closure.THROTTLED, 60.0)
    try:
        assert stuck(desk) is None
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_one_open_account_is_enough_unless_the_rows_are_other_accounts(desk: Desk) -> None:
    desk.enqueue([swap("1"), portrait("2")])
    desk.runtime.db(admission.stop, "zhiqite-main", Closure.AUTH)
    try:
        assert stuck(desk) is None
        desk.put("2", "succeeded")
        assert stuck(desk) is not None
    finally:
        desk.runtime.db(admission.resume, "zhiqite-main")


def test_a_batch_that_spent_its_limit_says_how_to_go_on(desk: Desk) -> None:
    desk.enqueue([swap("1")], max_cost=Decimal("0.01"))
    desk.sql("UPDATE batches SET paused_at = now(), paused_reason = 'budget' WHERE name = :batch")
    assert unsaid(stuck(desk) or "", "--max-cost") == []


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
