"""Catalogs on a real database: what becomes of rows that are new, changed, failed or in work."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest

from catalog.enqueue import enqueue
from catalog.errors import CatalogError, UnknownBatchError
from reports.batch import find
from tests.integration.catalog.desk import Desk, portrait, swap
from tests.words import names
from workers.jobs.run_options import RunOptions
from workers.restore import hold

pytest_plugins = ["tests.integration.database"]


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
