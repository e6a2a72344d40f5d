"""What becomes of jobs that are being saved, written as a group: kept, failed, asked for again or put off."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from models.states import Reason
from tasks import pumps
from tests.words import unsaid
from workers.engine import refetch, saving, store
from workers.engine.store import StorePump
from workers.engine.wake import store_pump, wake
from workers.images.headers import Picture
from workers.images.originals import Mark
from workers.messaging.app import PUMP_VERSION

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]


def claimed(database: Database, number: int, *, account: str = "main") -> list[saving.Saving]:
    for job in database.jobs(number, state="saving"):
        database.attempt(job, "done", account=f"'{account}'", outputs="'[]'", finished_at="clock_timestamp()")
    return sorted(database.run(saving.claim, number), key=lambda item: item.job_id)


def stored(item: saving.Saving, index: int = 0) -> saving.Stored:
    picture = Picture("image/png", 8, 9, "PNG", animated=False, mode="RGB")
    return saving.Stored(
        item.job_id, item.attempt_id, index, f"key-{index}", "0" * 64, "1" * 64, None, Mark(2, 10), None, None, 77,
            picture,
        {"seed": 7},
    )  # fmt: skip


def test_a_group_is_kept_and_put_off_in_one_go(database: Database) -> None:
    done, late, later, broken = claimed(database, 4)
    saved = [
        store._Saved(done, store._succeeded(done, [stored(done, 1), stored(done, 0)])),
        store._Saved(late, store._later(late, "the storage is\x00 full")),
        store._Saved(later, store._later(later, "no answer")),
        store._Saved(broken, refetch.not_obtained(broken, Reason.BAD_OUTPUT, "no picture")),
    ]
    recorded, asked_again = database.run(store._write, saved)

    rows = {row.id: row for row in database.sql("SELECT *, not_before > clock_timestamp() AS waits FROM jobs")}
    states = [(rows[item.job_id].state, rows[item.job_id].error) for item in (done, late, later)]
    assert states == [
        ("succeeded", None), ("saving", "the storage is\N{REPLACEMENT CHARACTER} full"), ("saving", "no answer"),
    ]  # fmt: skip
    assert unsaid(rows[broken.job_id].error, "no picture") == []
    assert [rows[item.job_id].waits for item in (late, later)] == [True, True]
    kept = database.sql("SELECT job_id, index, key, original_key, width, facts FROM results ORDER BY index")
    assert [tuple(row) for row in kept] == [
        (done.job_id, index, f"key-{index}", None, 8, {"seed": 7}) for index in (0, 1)
    ]
    assert ({move.job_id for move in recorded.ended}, asked_again) == ({done.job_id, broken.job_id}, [])
    assert (recorded.saving, recorded.requeued, recorded.freed, recorded.poll_in) == (False, False, False, None)


def test_what_was_stored_before_is_not_stored_twice(database: Database) -> None:
    (item,) = claimed(database, 1)
    for _ in range(2):
        database.run(store._write, [store._Saved(item, store._succeeded(item, [stored(item)]))])
    assert database.one("SELECT count(*) FROM results") == 1


def test_every_account_whose_attempts_are_asked_for_again_is_woken(
    database: Database, make_runtime: RuntimeFactory, messages: Messages
) -> None:
    # Given dead URLs of two accounts in one group
    runtime = make_runtime(main={}, other={})
    items = [*claimed(database, 2), *claimed(database, 1, account="other")]
    pump = StorePump(runtime, 0)

    written = database.run(
        store._write, [store._Saved(item, refetch.asked_anew(item, Reason.LOST, "gone")) for item in items]
    )
    runtime.on_loop(pump._after(written))

    assert written[1] == ["main", "other"]
    assert sorted(messages.pumps) == ["poll:main", "poll:other"]
    assert {row.state for row in database.sql("SELECT state FROM jobs")} == {"running"}
    assert {row.state for row in database.sql("SELECT state FROM attempts WHERE next_poll_at IS NOT NULL")} == {
        "running"
    }
    assert {row.name: row.begun for row in database.sql("SELECT name, begun FROM accounts")} == {"main": 2, "other": 1}


@pytest.mark.parametrize("state", ["running", "canceled"])
def test_a_job_that_somebody_has_moved_meanwhile_stays_where_it_is(database: Database, state: str) -> None:
    done, late = claimed(database, 2)
    database.sql("UPDATE jobs SET state = :state, error = 'by somebody'", state=state)
    database.run(
        store._write, [store._Saved(done, store._succeeded(done, ())), store._Saved(late, store._later(late, "later"))]
    )
    assert [tuple(row) for row in database.sql("SELECT state, error FROM jobs")] == [(state, "by somebody")] * 2


# --- Several pumps -------------------------------------------------------------------------------------------------


def test_a_pump_without_a_free_place_calls_for_the_next_one(
    database: Database, make_runtime: RuntimeFactory, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "HELP_SECONDS", 60.0)
    runtime = make_runtime()
    pump = StorePump(runtime, 4)
    for _ in range(2):
        runtime.on_loop(pump._call_for_help())
    assert messages.pumps == ["store:5"], "and not twice in a row"

    runtime.on_loop(StorePump(runtime, store.MOST_PUMPS - 1)._call_for_help())
    assert messages.pumps == ["store:5"]


def test_a_worker_that_runs_its_share_leaves_the_next_one_to_others(
    database: Database, make_runtime: RuntimeFactory, messages: Messages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message is gone then, so the pump counts as never woken: nothing is overdue, and it can be woken again."""
    runtime = make_runtime({"store_pumps": 2}, main={"poll_every": "1s"})
    monkeypatch.setattr(pumps, "runtime", lambda: runtime)
    ran: list[str] = []
    monkeypatch.setattr(pumps, "_activate", lambda _task, pump, _generation: ran.append(pump.name))

    for running, runs in ((["poll:main", "store:0"], True), (["store:0", "store:7"], False)):
        runtime.active = dict.fromkeys(running, asyncio.Event())
        wake(runtime, store_pump(3))
        ran.clear()
        pumps.store.run("3", version=PUMP_VERSION)
        assert ran == (["store:3"] if runs else [])
        assert (database.one("SELECT wake_at FROM leases WHERE name = 'store:3'") is None) is not runs
        database.sql("UPDATE leases SET wake_at = NULL")
    assert messages.pumps == ["store:3"] * 2
