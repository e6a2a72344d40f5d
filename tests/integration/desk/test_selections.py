"""Verdicts about many pictures at once: what others said is not overwritten, and all of it is taken back together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from desk.actors import Actor, ForbiddenError
from desk.selecting import Done, LeftOut, Selected, made_by, portions, seen, select, select_seen
from desk.selections import judge_many, undo_many
from desk.verdicts import Decision, judge
from models.people import Role
from models.verdicts import Verdict
from tests.integration.desk.pictures import give, made, results
from tests.integration.desk.test_reviewed import hear, told
from workers.config.reasons import REVIEW_REASONS
from workers.jobs.filters import Filter

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ANNA, BEN = Actor("Anna", Role.REVIEWER), Actor("Ben", Role.REVIEWER)
APPROVED, WRONG = Decision(Verdict.APPROVED), Decision(Verdict.NEEDS_WORK, ("hair",))
SPRING = Filter(batch="spring")


def say(
    session: Session,
    actor: Actor,
    batch: int,
    pictures: Sequence[Selected],
    decision: Decision = APPROVED,
    name: str = "s",
) -> Done:
    return judge_many(session, actor, batch, pictures, decision, known_reasons=REVIEW_REASONS, selection=name)


def one(session: Session, actor: Actor, result: int, decision: Decision = WRONG, based_on: int = 0) -> int:
    return judge(session, actor, result, decision, based_on=based_on, known_reasons=REVIEW_REASONS).verdict_id


def left(done: Done) -> dict[LeftOut, int]:
    return {why: number for why, number in done.left_out.items() if number}


def reviews(database: Database) -> list[tuple[str, int]]:
    rows = database.sql("SELECT verdict, count(*) AS n FROM reviews GROUP BY 1 ORDER BY 1")
    return [(row.verdict, row.n) for row in rows]


def test_what_others_said_or_what_came_later_is_left_out(database: Database) -> None:
    hear(database)
    batch = made(database, 6)
    (foreign,) = results(database, made(database, 1, name="autumn"))
    pictures = results(database, batch)
    shown = database.run(seen)
    database.run(one, BEN, pictures[0])
    (late,) = give(database, *database.jobs(batch=batch, state="succeeded"))
    database.sql("UPDATE jobs SET state = 'queued' WHERE id = 'job-00005'")
    found, changed = database.run(select_seen, batch, Filter(batch="spring", verdict="unreviewed"), shown)
    assert left(changed) == {LeftOut.CHANGED: 1, LeftOut.LATER: 1}
    assert [picture.result_id for picture in found] == pictures[1:5]
    # Forms name pictures one by one, too, and some name what is no longer, or never was, to be decided here
    done = database.run(say, ANNA, batch, [Selected(each, 0) for each in [*pictures, foreign, 10**9]])
    assert done.number == 4
    assert left(done) == {LeftOut.CHANGED: 1, LeftOut.NOT_READY: 1, LeftOut.GONE: 2}
    assert database.one("SELECT count(*) FROM verdicts WHERE result_id = ANY(:ids)", ids=[foreign, late]) == 0
    assert reviews(database) == [("approved", 4), ("needs_work", 1)]
    assert len(told(database, "result.reviewed")) == 5
    # The same form again writes nothing more
    again = database.run(say, ANNA, batch, found)
    assert (again.number, left(again)) == (4, {})
    assert database.one("SELECT count(*) FROM verdicts") == 5
    assert left(database.run(say, ANNA, batch, database.run(select, SPRING), name="other")) == {LeftOut.SAME: 4}


def test_what_was_being_written_when_a_page_was_shown_is_left_out(database: Database) -> None:
    batch = made(database, 3)
    pictures = results(database, batch)
    (job,) = database.jobs(batch=batch, state="succeeded")
    attempt = database.attempt(job, "done")
    with database.sessions.begin() as ben:
        one(ben, BEN, pictures[0])
        ben.execute(
            text("INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
                 " VALUES (:job, :attempt, 0, 'k', 'k', 3, 'image/png', 512, 640)"), {"job": job, "attempt": attempt},
        )  # fmt: skip
        # Both have smaller numbers than these, which are there
        before = database.run(one, ANNA, pictures[1])
        give(database, *database.jobs(batch=batch, state="succeeded"))
        shown = database.run(seen)
    found, left_out = database.run(select_seen, batch, SPRING, shown)
    assert found[:2] == [Selected(pictures[1], before), Selected(pictures[2], 0)]
    assert (len(found), left(left_out)) == (3, {LeftOut.CHANGED: 1, LeftOut.LATER: 1})


def test_a_selection_is_taken_back_as_a_whole_but_for_what_others_said_since(database: Database) -> None:
    hear(database)
    batch = made(database, 4)
    pictures = results(database, batch)
    before = database.run(one, ANNA, pictures[0])
    database.run(say, ANNA, batch, [Selected(pictures[0], before), *(Selected(each, 0) for each in pictures[1:])])
    assert len(told(database, "batch.reviewed")) == 1
    newest = {row.result_id: row.id for row in database.sql("SELECT result_id, max(id) AS id FROM verdicts GROUP BY 1")}
    database.run(one, BEN, pictures[1], based_on=newest[pictures[1]])
    database.run(one, ANNA, pictures[2], based_on=newest[pictures[2]])
    mine = database.run(made_by, ANNA, batch, "s")
    assert mine == pictures
    done = database.run(undo_many, ANNA, batch, mine, "s")
    assert (done.number, left(done)) == (2, {LeftOut.CHANGED: 2})
    now = database.sql("SELECT r.verdict FROM reviews r ORDER BY seq")
    assert [row.verdict for row in now] == ["needs_work", "needs_work", "needs_work", "unreviewed"]
    assert database.run(made_by, ANNA, batch, "s") == pictures[1:3]
    # What is not hers is not hers to take back; hers is, whichever way it was given
    assert left(database.run(undo_many, ANNA, batch, pictures[1:2])) == {LeftOut.CHANGED: 1}
    assert left(database.run(undo_many, BEN, batch, pictures[2:])) == {LeftOut.NOT_YOURS: 2}
    assert database.run(undo_many, ANNA, batch, pictures[:1]).number == 1


def test_of_several_pictures_of_one_job_the_last_approved_is_used(database: Database) -> None:
    batch = made(database, 1, pictures=3)
    pictures = results(database, batch)
    database.run(say, ANNA, batch, [Selected(each, 0) for each in pictures[:2]])
    assert database.one("SELECT chosen FROM reviews") == pictures[1]
    assert [each.result_id for each in database.run(select, SPRING)] == [pictures[1]]
    database.run(undo_many, ANNA, batch, pictures[1:2])
    assert database.one("SELECT chosen FROM reviews") == pictures[0]


def test_two_selections_at_once_judge_each_picture_once(database: Database) -> None:
    hear(database)
    batch = made(database, 40)
    pictures = [Selected(each, 0) for each in results(database, batch)]

    def work(session: Session, person: Actor, chosen: list[Selected]) -> Done:
        return say(session, person, batch, chosen, name=person.name)

    done = database.together(
        [lambda session: work(session, ANNA, pictures), lambda session: work(session, BEN, pictures[::-1])]
    )
    assert sorted(each.number for each in done) == [0, 40]
    assert database.one("SELECT count(*) FROM verdicts") == len(told(database, "result.reviewed")) == 40
    assert len(told(database, "batch.reviewed")) == 1


def test_a_viewer_selects_nothing(database: Database) -> None:
    batch = made(database, 1)
    vera = Actor("Vera", Role.VIEWER)
    with pytest.raises(ForbiddenError):
        database.run(say, vera, batch, [Selected(results(database, batch)[0], 0)])
    with pytest.raises(ForbiddenError):
        database.run(undo_many, vera, batch, results(database, batch))


@pytest.mark.long
def test_ten_thousand_pictures_are_approved_while_a_person_waits(database: Database) -> None:
    batch = database.batch("spring")
    database.jobs(10_000, batch=batch, state="succeeded")
    database.sql(
        "INSERT INTO attempts (id, job_id, batch_id, number, account, operation, state, sent_at, deadline_at)"
        " SELECT gen_random_uuid(), id, batch_id, 1, 'main', 'zhiqite.swap', 'done', now(), now() FROM jobs"
    )
    database.sql(
        "INSERT INTO results (job_id, attempt_id, index, key, sha256, size, media_type, width, height)"
        " SELECT job_id, id, 0, job_id, job_id, 3, 'image/png', 512, 640 FROM attempts"
    )
    database.sql("ANALYZE")
    began = time.monotonic()
    found = database.run(select, SPRING)
    print(f"selected in {time.monotonic() - began:.2f} s")  # noqa: T201 - for the person who runs it
    for portion in portions(found):
        assert database.run(say, ANNA, batch, list(portion)).number == len(portion)
    took = time.monotonic() - began
    print(f"10,000 verdicts in {took:.2f} s")  # noqa: T201
    assert took < 60
