"""Quality checks of stored results: made after a worker's death as well, never in the way, gone with the picture."""

from __future__ import annotations

import hashlib
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from sqlalchemy.orm import Session

from faces import likeness
from models.checks import ANY_CHECK, CheckName
from reports import cards
from reports.flags import flags_of_batch, some_flags
from reports.grid_filter import GridFilter, Sort
from tests.integration.desk.pictures import give
from tests.stack import PORTRAITS
from workers.engine import check as engine_check
from workers.engine import checking, copies
from workers.engine.check import CheckPump
from workers.engine.checking import DueCheck, Found
from workers.engine.runner import run
from workers.engine.runtime import Runtime
from workers.images.check_rules import Score
from workers.maintenance.sweep import sweep
from workers.operations.prune import prune

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages, RuntimeFactory

pytest_plugins = ["tests.integration.database"]

TARGET = PORTRAITS / "astronaut.png"


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    return make_runtime()


def due(database: Database, runtime: Runtime, data: bytes, *, batch: int, target: Path | str = TARGET) -> int:
    """A result of a swap that is stored and not checked yet."""
    (job,) = database.jobs(batch=batch, state="succeeded", source=str(TARGET), target=str(target))
    (result,) = give(database, job)
    key = runtime.storage.put(data, sha256=hashlib.sha256(data).hexdigest(), suffix="png")
    database.sql("UPDATE results SET key = :key, sha256 = :key WHERE id = :id", key=key, id=result)
    database.sql("INSERT INTO due_checks (result_id) VALUES (:id)", id=result)
    return result


def waiting(database: Database, number: int, batch: int) -> list[DueCheck]:
    """Results that a worker has claimed."""
    for job in database.jobs(number, batch=batch, state="succeeded"):
        (result,) = give(database, job)
        database.sql("INSERT INTO due_checks (result_id) VALUES (:id)", id=result)
    return sorted(database.run(checking.claim, number, alone=True), key=lambda item: item.seq)


def flags(database: Database, result: int) -> set[str]:
    rows = database.sql("SELECT name FROM checks WHERE result_id = :id AND flagged", id=result)
    return {row.name for row in rows}


def score(name: CheckName, value: float) -> Score:
    return Score(name, value, 0.5)


def test_a_stored_result_is_checked_and_a_hostile_one_stops_nothing(database: Database, runtime: Runtime) -> None:
    batch = database.batch()
    hostile = due(database, runtime, TARGET.read_bytes()[:5_000], batch=batch)
    unchanged = due(database, runtime, TARGET.read_bytes(), batch=batch)
    alone = due(database, runtime, TARGET.read_bytes(), batch=batch, target="/nowhere/at-all.png")
    run(runtime, CheckPump(runtime), None)

    assert flags(database, unchanged) == {"face_unchanged"}
    assert flags(database, hostile) == set()
    # A target that is gone leaves what a picture says by itself.
    names = database.sql("SELECT name FROM checks WHERE result_id = :id", id=alone)
    assert {row.name for row in names} >= {"blank", "no_face"}
    assert {row.name for row in names}.isdisjoint({"face_unchanged", "blurred"})
    assert database.one("SELECT count(*) FROM due_checks") == 0
    assert {row.state for row in database.sql("SELECT state FROM jobs")} == {"succeeded"}


def test_the_person_given_is_compared_where_people_can_be_told_apart(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = database.batch()
    result = due(database, runtime, TARGET.read_bytes(), batch=batch)
    generated = due(database, runtime, TARGET.read_bytes(), batch=batch)
    drawn = due(database, runtime, TARGET.read_bytes(), batch=batch)
    gone = due(database, runtime, TARGET.read_bytes(), batch=batch)
    inputs = {
        result: ("source", PORTRAITS / "grace_hopper.jpg", "zhiqite.swap"),
        generated: ("image", TARGET, "qolaba.consistency"),
        drawn: ("image", PORTRAITS / "grace_hopper.jpg", "qolaba.avatar"),
        gone: ("source", "/nowhere/at-all.png", "zhiqite.swap"),
    }
    for number, (role, path, operation) in inputs.items():
        given = {"source": None, "target": None, "image": None, role: str(path)}
        database.sql(
            "UPDATE jobs SET source = :source, target = :target, image = :image"
            " FROM results r WHERE r.job_id = jobs.id AND r.id = :id", id=number, **given,
        )  # fmt: skip
        database.sql(
            "UPDATE attempts SET operation = :name FROM results r WHERE r.attempt_id = attempts.id AND r.id = :id",
            name=operation, id=number,
        )  # fmt: skip
    monkeypatch.setattr(engine_check, "_tells_people_apart", lambda: True)
    # The model is an extra that is not installed everywhere: two pictures that are not the same show different people.
    monkeypatch.setattr(likeness, "distance", lambda one, other: 0.2 if np.array_equal(one, other) else 0.9)
    run(runtime, CheckPump(runtime), None)

    assert "other_person" in flags(database, result)
    assert "other_person" not in flags(database, generated)
    rows = database.sql("SELECT result_id FROM checks WHERE name = 'other_person'")
    assert {row.result_id for row in rows} == {result, generated}


def test_an_account_sets_its_own_thresholds(
    database: Database, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = database.batch()
    first = due(database, runtime, TARGET.read_bytes(), batch=batch)
    account = database.sql("SELECT account FROM attempts LIMIT 1")[0].account
    own = {"swap": {CheckName.FACE_UNCHANGED: None, CheckName.BLANK: 0.2, CheckName.NEAR_DUPLICATE: None}}
    changed = runtime.accounts[account].model_copy(update={"checks": own})
    monkeypatch.setitem(runtime.accounts, account, changed)
    run(runtime, CheckPump(runtime), None)

    assert flags(database, first) == set()
    found = {row.name: row.threshold for row in database.sql("SELECT name, threshold FROM checks")}
    assert found["blank"] == 0.2
    assert found.keys().isdisjoint({"face_unchanged", "near_duplicate"})


def test_switched_off_nothing_is_checked_and_no_wake_up_sent(
    database: Database, make_runtime: RuntimeFactory, messages: Messages
) -> None:
    runtime = make_runtime({"checks": "off"})
    due(database, runtime, TARGET.read_bytes(), batch=database.batch())
    assert run(runtime, CheckPump(runtime), None) is None
    sweep(runtime)
    assert database.one("SELECT count(*) FROM checks") == 0
    assert "check" not in {name for name, *_ in messages}


def test_what_a_dead_worker_had_in_hand_is_due_again_one_by_one(
    database: Database, runtime: Runtime, messages: Messages
) -> None:
    dead = waiting(database, 3, database.batch())
    assert len(dead) == 3
    assert database.run(checking.claim, 9, alone=True) == [], "they are in its hands"
    database.sql("UPDATE due_checks SET at = clock_timestamp()")
    sweep(runtime)
    assert "check" in {name for name, *_ in messages}
    assert database.run(checking.claim, 9, alone=False) == [], "another one that failed before is in hand"
    for tries in range(2, checking.MAX_TRIES + 2):
        database.sql("UPDATE due_checks SET at = clock_timestamp()")
        (again,) = database.run(checking.claim, 1, alone=True)
        database.sql("UPDATE due_checks SET tries = :tries", tries=tries)
    database.sql(
        "UPDATE due_checks SET at = clock_timestamp() - interval '1 s', tries = :tries", tries=checking.MAX_TRIES
    )
    assert again.tries >= 2
    for _ in dead:  # no worker survived them: they stay unchecked, and stop nothing
        run(runtime, CheckPump(runtime), None)
    assert database.one("SELECT count(*) FROM due_checks") == 0


def test_of_two_copies_that_are_written_at_once_exactly_one_is_flagged(database: Database) -> None:
    batch = database.batch()
    one, other, apart, same_target = waiting(database, 4, batch)
    found = {
        one.result_id: Found(one, (score(CheckName.BLANK, 0),), 0x1234_5678_9ABC_DEF0, 0),
        other.result_id: Found(other, (score(CheckName.BLANK, 0),), 0x1234_5678_9ABC_DEF1, -1),
    }
    database.together([partial(_write, item) for item in found.values()])
    assert [bool(flags(database, result)) for result in found].count(True) == 1
    flagged = next(result for result in found if flags(database, result))
    assert flags(database, flagged) == {"near_duplicate"}

    database.run(checking.write, [Found(apart, (), -0x1234_5678_9ABC_DEF0, 0xFFFF)])
    assert flags(database, apart.result_id) == set()
    # What was made of pictures that look alike may look alike.
    for target in (one, other):
        database.sql("UPDATE hash_bands SET target_hash = 7 WHERE result_id = :id", id=target.result_id)
    database.run(checking.write, [Found(same_target, (), 0x1234_5678_9ABC_DEF0, 7)])
    assert flags(database, same_target.result_id) == set()


def test_a_copy_of_a_batch_that_began_shortly_before_is_flagged_and_names_its_job(database: Database) -> None:
    numbers = count()

    def batch(day: float) -> tuple[int, DueCheck]:
        """A batch that began on a day, with a job."""
        made = database.batch(f"day {day} {next(numbers)}")
        database.sql("UPDATE batches SET created_at = now() + :day * interval '1 day' WHERE id = :id", id=made, day=day)
        (due,) = waiting(database, 1, made)
        database.sql("UPDATE jobs SET fingerprint = id WHERE id = :id", id=due.job_id)
        return made, due

    def flagged(due: DueCheck, hash_: int) -> bool:
        database.run(checking.write, [Found(due, (), hash_, None)])
        return flags(database, due.result_id) == {"near_duplicate"}

    (_, week_ago), (spring, first), (_, second), (_, third) = batch(-8), batch(0), batch(0.1), batch(0.2)
    assert not flagged(week_ago, 0b111)
    assert not flagged(first, 0), "a week is over"
    assert flagged(second, 0b11)
    copy = database.run(copies.nearest, second.result_id)
    assert copy is not None
    assert (copy.job, copy.batch_id, copy.distance) == (first.job_id, spring, 2)
    assert not flagged(third, -1), "it looks like none of them"

    # What was asked for again under another batch's name may look the same
    again = batch(0.3)[1]
    database.sql("UPDATE jobs SET fingerprint = :id WHERE id = :again", id=first.job_id, again=again.job_id)
    database.sql("DELETE FROM hash_bands WHERE result_id = :id", id=second.result_id)
    assert not flagged(again, 0)
    assert flagged(batch(0.4)[1], 0)

    # A few batches are looked at, and no more
    database.sql("DELETE FROM hash_bands WHERE result_id <> :id", id=first.result_id)
    for _ in range(copies.FORMER_BATCHES - 5):
        batch(0.5)
    assert flagged(batch(0.6)[1], 0), "it is the sixteenth before"
    database.sql("DELETE FROM hash_bands WHERE result_id <> :id", id=first.result_id)
    assert not flagged(batch(0.7)[1], 0), "it is the seventeenth before"


def _write(item: Found, session: Session) -> None:
    checking.write(session, [item])


def test_what_was_erased_meanwhile_leaves_no_check_and_a_picture_takes_its_checks_along(
    database: Database, runtime: Runtime
) -> None:
    batch = database.batch()
    gone, kept = waiting(database, 2, batch)
    database.sql("DELETE FROM results WHERE id = :id", id=gone.result_id)
    bad = (score(CheckName.NO_FACE, 1.0),)
    database.run(checking.write, [Found(gone, bad, 1, 2), Found(kept, bad, 3, 4)])
    assert [row.result_id for row in database.sql("SELECT result_id FROM checks WHERE flagged")] == [kept.result_id]

    database.sql("UPDATE jobs SET finished_at = clock_timestamp() - interval '9 days'")
    prune(runtime, seconds=86_400.0)
    for table in ("checks", "hash_bands", "due_checks", "results"):
        assert database.one(f"SELECT count(*) FROM {table}") == 0, table  # noqa: S608


def test_a_redone_picture_is_out_of_the_filter(database: Database) -> None:
    batch = database.batch()
    (first,) = waiting(database, 1, batch)
    database.run(checking.write, [Found(first, (score(CheckName.BLURRED, 0.9),))])
    assert some_flags_of(database, batch) == {"blurred": 1}
    (result,) = give(database, first.job_id, number=2)
    database.sql("INSERT INTO due_checks (result_id) VALUES (:id)", id=result)
    (second,) = database.run(checking.claim, 1, alone=True)
    database.run(checking.write, [Found(second, (score(CheckName.BLURRED, 0.1),))])
    assert some_flags_of(database, batch) == {}
    assert database.run(flags_of_batch, batch).pictures == 0


def some_flags_of(database: Database, batch: int) -> dict[str, int]:
    return {name.value: number for name, number in database.run(some_flags, batch).items()}


@pytest.mark.parametrize("worst", [False, True])
@pytest.mark.parametrize("check", [None, CheckName.BLURRED])
def test_pages_of_flagged_jobs_have_each_once_in_both_directions(
    database: Database, worst: bool, check: CheckName | None
) -> None:
    batch = database.batch()
    everything = waiting(database, 2 * cards.PAGE + 7, batch)
    found = [
        Found(
            item,
            (
                score(CheckName.BLURRED, 0.5 + (number * 7 % 50) / 100 if number % 3 else 0.2),
                score(CheckName.NO_FACE, 0.9 if number % 2 else 0.1),
            ),
        )
        for number, item in enumerate(everything)
    ]
    database.run(checking.write, found)
    bad = {
        each.due.job_id: min(s.rank for s in each.scores if s.flagged and (check is None or s.name is check))
        for each in found
        if any(s.flagged and (check is None or s.name is check) for s in each.scores)
    }
    order = [item.job_id for item in everything]
    expected = sorted(bad, key=lambda job: (bad[job] if worst else 0.0, order.index(job)))

    shown = GridFilter(check=check or ANY_CHECK, sort=Sort.WORST if worst else Sort.CATALOG)
    pages, after = [], None
    while True:
        page = database.run(cards.page, batch, shown, after=after)
        pages.append([card.id for card in page.cards])
        if page.after is None:
            break
        after = page.after
    assert [job for page in pages for job in page] == expected
    back = database.run(cards.page, batch, shown, before=page.before)
    assert [card.id for card in back.cards] == pages[-2]
    assert all(card.flags for card in back.cards)
