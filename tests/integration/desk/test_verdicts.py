"""Verdicts on a real database: history, several people at once, versions, and what counts."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session

from desk import handing
from desk.actors import Actor, ForbiddenError
from desk.handing import Handed, Nothing, next_undecided, take, taken_by
from desk.verdicts import (
    Area,
    ConflictError,
    Decided,
    Decision,
    DeskError,
    NothingToUndoError,
    NotReadyError,
    UnknownPictureError,
    choose,
    judge,
    undo,
)
from models.people import Role
from models.transactions import Database as Transactions
from models.verdicts import Verdict
from reports.grid import Place
from tests.integration.desk.pictures import give, made, results
from tests.stack import crowding
from tests.words import names
from workers.config.reasons import REVIEW_REASONS

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ANNA, BEN = Actor("Anna", Role.REVIEWER), Actor("Ben", Role.REVIEWER)
VIEWER = Actor("Vera", Role.VIEWER)
APPROVED, NEEDS_WORK = Decision(Verdict.APPROVED), Decision(Verdict.NEEDS_WORK, ("hair",))
P95_SECONDS = 0.1


def say(
    session: Session, /, actor: Actor, result: int, decision: Decision = APPROVED, *, based_on: int = 0, **more: Any
) -> Decided:
    return judge(session, actor, result, decision, based_on=based_on, known_reasons=REVIEW_REASONS, **more)


def counts(database: Database, batch: int) -> dict[str, int]:
    rows = database.sql("SELECT verdict, count(*) AS n FROM reviews WHERE batch_id = :id GROUP BY 1", id=batch)
    return {row.verdict: row.n for row in rows}


# --- One person ----------------------------------------------------------------------------------------------------


def test_a_verdict_is_a_row_and_the_newest_counts(database: Database) -> None:
    batch = made(database, 1)
    (result,) = results(database, batch)
    wrong = Decision(Verdict.NEEDS_WORK, ("hair", "hands", "hair"), "  the left one ", Area(0.1, 0.2, 0.3, 0.4))
    first = database.run(say, ANNA, result, wrong)
    assert (first.job_verdict, first.chosen) == (Verdict.NEEDS_WORK, None)
    second = database.run(say, BEN, result, based_on=first.verdict_id)
    assert (second.job_verdict, second.chosen) == (Verdict.APPROVED, result)
    rows = database.sql("SELECT person, verdict, reasons, note, area FROM verdicts ORDER BY id")
    assert [tuple(row) for row in rows] == [
        ("Anna", "needs_work", ["hair", "hands"], "the left one", {"x": 0.1, "y": 0.2, "width": 0.3, "height": 0.4}),
        ("Ben", "approved", [], None, None),
    ]
    assert counts(database, batch) == {"approved": 1}
    audit = database.sql("SELECT person, via, action, subject, detail FROM audit ORDER BY id")
    assert [(row.person, row.via, row.action, row.subject) for row in audit] == [
        ("Anna", "page", "judge", "job job-00000"), ("Ben", "page", "judge", "job job-00000")
    ]  # fmt: skip
    assert "left" not in str(audit), "a note is the person's, and stays out of the record"


def test_taking_back_goes_step_by_step_and_only_over_ones_own(database: Database) -> None:
    batch = made(database, 2)
    one, two = results(database, batch)
    first = database.run(say, ANNA, one)
    database.run(say, ANNA, one, NEEDS_WORK, based_on=first.verdict_id)
    database.run(say, ANNA, two)
    database.run(say, BEN, two, NEEDS_WORK, based_on=database.one("SELECT max(id) FROM verdicts"))
    # Ben has judged the last one since: Anna is asked
    with pytest.raises(ConflictError, match=names("Ben", "needs work")):
        database.run(undo, ANNA, batch)
    back = database.run(undo, BEN, batch)
    assert (back.result_id, back.job_verdict) == (two, Verdict.APPROVED)
    # and with that gone, hers come back one by one
    assert [database.run(undo, ANNA, batch).job_verdict for _ in range(3)] == [
        Verdict.UNREVIEWED, Verdict.APPROVED, Verdict.UNREVIEWED
    ]  # fmt: skip
    for person in (ANNA, BEN):
        with pytest.raises(NothingToUndoError):
            database.run(undo, person, batch)
    with pytest.raises(NothingToUndoError):
        database.run(undo, BEN, batch, one)
    assert database.one("SELECT count(*) FROM verdicts") == 8, "nothing was removed from the history"


def test_taking_back_about_one_picture_leaves_the_others(database: Database) -> None:
    batch = made(database, 2)
    one, two = results(database, batch)
    for result in (one, two):
        database.run(say, ANNA, result)
    assert database.run(undo, ANNA, batch, one).result_id == one
    with pytest.raises(NothingToUndoError):
        database.run(undo, ANNA, batch, one)
    assert counts(database, batch)["approved"] == 1


def test_one_verdict_is_taken_back_once_however_many_ask(database: Database) -> None:
    batch = made(database, 1)
    (result,) = results(database, batch)
    database.run(say, ANNA, result)
    barrier = threading.Barrier(2)

    def at_once() -> Any:
        barrier.wait(30)
        try:
            return database.run(undo, ANNA, batch)
        except NothingToUndoError as error:
            return error

    answers = [each.result(60) for each in (database.aside(at_once), database.aside(at_once))]
    assert {type(each) for each in answers} == {Decided, NothingToUndoError}
    assert database.one("SELECT count(*) FROM verdicts") == 2


def test_one_picture_of_a_job_is_used(database: Database) -> None:
    batch = made(database, 1, pictures=3)
    one, two, three = results(database, batch)

    def used() -> tuple[str, int | None]:
        ((verdict, chosen),) = database.sql("SELECT verdict, chosen FROM reviews")
        return verdict, chosen

    wrong = database.run(say, ANNA, one, NEEDS_WORK)
    assert used() == ("unreviewed", None), "the others are still to be looked at"
    database.run(say, ANNA, two)
    assert used() == ("approved", two)
    last = database.run(say, ANNA, three)
    assert used() == ("approved", three), "an approved picture takes the place"
    database.run(say, ANNA, three, NEEDS_WORK, based_on=last.verdict_id)
    assert used() == ("approved", two), "and gives it back"
    database.run(choose, BEN, one)
    assert used() == ("needs_work", one)
    database.run(say, BEN, one, based_on=wrong.verdict_id)
    assert used() == ("approved", one)


def test_a_job_needs_work_when_each_of_its_pictures_does(database: Database) -> None:
    batch = made(database, 1, pictures=2)
    for result in results(database, batch):
        found = database.run(say, ANNA, result, NEEDS_WORK)
    assert (found.job_verdict, counts(database, batch)) == (Verdict.NEEDS_WORK, {"needs_work": 1})


def test_a_picture_of_a_former_version_can_be_the_one(database: Database) -> None:
    batch = made(database, 1)
    (former,) = results(database, batch)
    (present,) = give(database, "job-00000", number=2)
    database.run(say, ANNA, present, NEEDS_WORK)
    assert counts(database, batch) == {"needs_work": 1}
    database.run(say, ANNA, former)
    assert database.sql("SELECT verdict, chosen FROM reviews") == [("approved", former)]


@pytest.mark.parametrize(
    ("decision", "said"),
    [
        (Decision(Verdict.NEEDS_WORK, ("ugly",)), ("ugly", "hair", "other")),
        (Decision(Verdict.NEEDS_WORK, ("hair",), "x" * 2_001), ("note", "2,001", "2,000")),
    ],
)
def test_what_cannot_be_said_is_named(database: Database, decision: Decision, said: tuple[str, ...]) -> None:
    batch = made(database, 1)
    with pytest.raises(DeskError, match=names(*said)):
        database.run(say, ANNA, results(database, batch)[0], decision)
    assert counts(database, batch) == {}


@pytest.mark.parametrize("area", [(0.5, 0, 0.6, 0.1), (-0.1, 0, 0.1, 0.1), (0, float("nan"), 0.1, 0.1)])
def test_an_area_lies_within_its_picture(area: tuple[float, ...]) -> None:
    with pytest.raises(DeskError, match="area"):
        Area(*area)


def test_what_is_not_there_or_not_ready_is_not_judged(database: Database) -> None:
    batch = made(database, 1)
    (result,) = results(database, batch)
    with pytest.raises(UnknownPictureError):
        database.run(say, ANNA, result + 1)
    database.sql("UPDATE jobs SET state = 'queued'")
    with pytest.raises(NotReadyError, match="queued"):
        database.run(say, ANNA, result)


def test_a_viewer_changes_nothing(database: Database) -> None:
    batch = made(database, 1)
    (result,) = results(database, batch)
    works: list[Any] = [
        partial(say, actor=VIEWER, result=result), partial(undo, actor=VIEWER, batch_id=batch),
        partial(choose, actor=VIEWER, result_id=result), partial(take, actor=VIEWER, job_id="job-00000"),
        partial(next_undecided, actor=VIEWER, batch_id=batch),
    ]  # fmt: skip
    for work in works:
        with pytest.raises(ForbiddenError, match=names("Vera", "viewer", "reviewer")):
            database.run(work)
    for table in ("verdicts", "reviews", "picture_claims"):
        assert database.one(f"SELECT count(*) FROM {table}") == 0  # noqa: S608


def test_verdicts_leave_with_their_picture(database: Database) -> None:
    batch = made(database, 2)
    for result in results(database, batch):
        database.run(say, ANNA, result, Decision(Verdict.NEEDS_WORK, ("hair",), "her scar is gone"))
    database.sql("DELETE FROM results WHERE job_id = 'job-00000'")
    assert database.one("SELECT count(*) FROM verdicts") == 1
    assert counts(database, batch) == {"needs_work": 1}


# --- Several people ------------------------------------------------------------------------------------------------


def test_the_second_of_two_answers_sees_the_first(database: Database) -> None:
    batch = made(database, 1)
    (result,) = results(database, batch)

    def answer(actor: Actor, decision: Decision) -> Any:
        try:
            return database.run(say, actor, result, decision)
        except ConflictError as error:
            return error

    barrier = threading.Barrier(2)

    def at_once(actor: Actor, decision: Decision) -> Any:
        barrier.wait(30)
        return answer(actor, decision)

    answers = [
        each.result(60) for each in (database.aside(at_once, ANNA, APPROVED), database.aside(at_once, BEN, NEEDS_WORK))
    ]
    (first,) = [each for each in answers if isinstance(each, Decided)]
    (second,) = [each for each in answers if isinstance(each, ConflictError)]
    assert (second.current.verdict, second.current.verdict_id) == (first.verdict, first.verdict_id)
    # who is asked, and says so, counts
    loser = BEN if second.current.person == "Anna" else ANNA
    assert database.run(say, loser, result, APPROVED, based_on=first.verdict_id).job_verdict is Verdict.APPROVED


def test_an_answer_that_is_sent_again_is_made_once(database: Database) -> None:
    batch = made(database, 2)
    one, two = results(database, batch)
    sent = [database.run(say, ANNA, one, request="r-1").verdict_id for _ in range(3)]
    assert len(set(sent)) == 1
    assert database.one("SELECT count(*) FROM verdicts") == 1
    with pytest.raises(DeskError, match="request"):
        database.run(say, ANNA, two, request="r-1")
    with pytest.raises(DeskError, match="request"):
        database.run(say, BEN, one, request="r-1")


def test_an_open_picture_is_taken_until_it_is_left_or_forgotten(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = made(database, 3)
    first = database.run(next_undecided, ANNA, batch)
    second = database.run(next_undecided, BEN, batch)
    assert (first, second) == (Handed("job-00000", first.place), Handed("job-00001", second.place))  # type: ignore[union-attr]
    # Ben looks at hers: it stays hers, and he is told
    taken = database.run(take, BEN, "job-00000")
    assert taken is not None
    assert (taken.person, taken.own) == ("Anna", False)
    # She goes on: it is free again
    database.run(take, ANNA, "job-00002")
    found = database.run(take, BEN, "job-00000")
    assert found is not None
    assert found.own
    assert database.run(taken_by, ANNA, "job-00001") is None
    # and what is left open runs out
    monkeypatch.setattr(handing, "TAKEN_SECONDS", 0.0)
    database.run(take, BEN, "job-00000")
    assert database.run(taken_by, ANNA, "job-00000") is None


def test_there_is_an_end_and_the_search_begins_anew(database: Database) -> None:
    batch = made(database, 2)
    one, two = results(database, batch)
    last = database.one("SELECT max(seq) FROM jobs")
    end = Place(0, 0.0, last)
    assert database.run(next_undecided, ANNA, batch, end) == Handed("job-00000", Place(0, 0.0, last - 1))
    database.run(say, ANNA, one)
    assert database.run(next_undecided, ANNA, batch, end) == Handed("job-00001", end)
    database.run(say, ANNA, two)
    assert database.run(next_undecided, ANNA, batch, end) == Nothing()


def test_two_at_once_lose_nothing_and_judge_nothing_twice(database: Database) -> None:
    number = 200
    batch = made(database, number)
    transactions = Transactions(database.url, 8)
    times: list[float] = []

    def review(actor: Actor) -> int:
        done, after = 0, None
        while isinstance(handed := transactions.db(next_undecided, actor, batch, after), Handed):
            (result,) = database.sql("SELECT id FROM results WHERE job_id = :id", id=handed.job_id)
            began = time.perf_counter()
            transactions.db(say, actor, result.id, APPROVED if done % 3 else NEEDS_WORK, based_on=0)
            times.append(time.perf_counter() - began)
            done, after = done + 1, handed.place
        return done

    try:
        shares = [each.result(300) for each in [database.aside(review, actor) for actor in (ANNA, BEN)]]
    finally:
        transactions.close()
    # No conflict was met, nothing lost, nothing twice, and what counts agrees with the history
    assert sum(shares) == number
    assert min(shares) > number // 10, "both had something to do"
    assert database.one("SELECT count(*) FROM verdicts") == number
    assert database.one("SELECT count(DISTINCT result_id) FROM verdicts") == number
    assert sum(counts(database, batch).values()) == number
    assert database.one(
        "SELECT count(*) FROM reviews r JOIN verdicts v ON v.id = r.verdict_id WHERE v.verdict = r.verdict"
    ) == number  # fmt: skip
    assert database.one("SELECT count(*) FROM audit WHERE action = 'judge'") == number
    p95 = sorted(times)[int(len(times) * 0.95)]
    print(f"p95 per verdict: {p95 * 1000:.1f} ms; shares {shares}")  # noqa: T201 - the figure is asked for
    assert p95 <= P95_SECONDS * crowding()
