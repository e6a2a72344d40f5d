"""Events of verdicts: one for each that counts, and one when a batch has no undecided picture left."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy.orm import Session

from desk.actors import Actor
from desk.verdicts import ConflictError, Decision, choose, judge, undo
from models.people import Role
from models.verdicts import Verdict
from tests.integration.desk.pictures import give, made, results
from workers.config.reasons import REVIEW_REASONS

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

ANNA, BEN = Actor("Anna", Role.REVIEWER), Actor("Ben", Role.REVIEWER)
WRONG = Decision(Verdict.NEEDS_WORK, ("hair",), "her own words")
BOTH = ("result.reviewed", "batch.reviewed")


def say(session: Session, actor: Actor, result: int, verdict: str = "approved", *, based_on: int = 0) -> int:
    decision = WRONG if verdict == "needs_work" else Decision(Verdict(verdict))
    return judge(session, actor, result, decision, based_on=based_on, known_reasons=REVIEW_REASONS).verdict_id


def hear(database: Database, *events: str, batches: list[str] | None = None) -> None:
    database.sql(
        "INSERT INTO webhooks (url, events, batches, secrets) VALUES ('https://example.com/', :events, :batches, '')",
        events=list(events or BOTH),
        batches=batches or [],
    )


def told(database: Database, event: str) -> list[dict[str, Any]]:
    """What was said of this event, in the order in which it was written."""
    rows = database.sql(
        "SELECT data FROM deliveries WHERE event = :event ORDER BY data ->> 'reviewed_at', created_at", event=event
    )
    return [row.data for row in rows]


def test_each_verdict_that_counts_is_told_and_so_is_its_taking_back(database: Database) -> None:
    hear(database)
    batch = made(database, 2)
    one, _ = results(database, batch)
    first = database.run(say, ANNA, one, "needs_work")
    with pytest.raises(ConflictError):
        database.run(say, BEN, one)
    database.run(say, BEN, one, based_on=first)
    database.run(undo, BEN, batch)
    found = told(database, "result.reviewed")
    assert [(each["verdict"], each["reviewer"], each["undo"], each["reasons"], each["used"]) for each in found] == [
        ("needs_work", "Anna", False, ["hair"], False), ("approved", "Ben", False, [], True),
        ("needs_work", "Ben", True, ["hair"], False),
    ]  # fmt: skip
    assert {(each["result"], each["job"], each["batch"], each["key"]) for each in found} == {
        (one, "job-00000", "spring", "job-00000")
    }
    assert found[0]["results"][0]["key"]
    assert "her own words" not in str(found), "a note stays with the picture"


def test_a_batch_is_reviewed_once_for_each_time_that_it_was_undecided(database: Database) -> None:
    hear(database, "batch.reviewed")
    batch = made(database, 3)
    one, two, three = results(database, batch)
    for result in (three, one):
        database.run(say, ANNA, result)
    assert told(database, "batch.reviewed") == []
    last = database.run(say, ANNA, two, "needs_work")
    (first,) = told(database, "batch.reviewed")
    assert (first["batch"], first["verdicts"], first["open"]) == ("spring", {"approved": 2, "needs_work": 1}, 0)
    # Another verdict about a decided picture ends nothing
    database.run(say, BEN, two, based_on=last)
    assert len(told(database, "batch.reviewed")) == 1
    # taken back, and given again: it was undecided in between
    for person in (BEN, ANNA):
        database.run(undo, person, batch, two)
    database.run(say, BEN, two, based_on=database.one("SELECT max(id) FROM verdicts"))
    assert [each["verdicts"]["approved"] for each in told(database, "batch.reviewed")] == [2, 3]
    # and so is a picture that came later
    (job,) = database.jobs(batch=batch, state="succeeded")
    (four,) = give(database, job)
    database.run(say, ANNA, four)
    assert len(told(database, "batch.reviewed")) == 3


def test_of_many_people_at_once_one_reviews_the_batch(database: Database) -> None:
    hear(database)
    batch = made(database, 12)
    database.together([partial(_said, result=result) for result in results(database, batch)])
    assert len(told(database, "result.reviewed")) == 12
    assert [each["verdicts"] for each in told(database, "batch.reviewed")] == [{"approved": 12, "needs_work": 0}]


def _said(session: Session, result: int) -> None:
    say(session, Actor(f"person {result}", Role.REVIEWER), result)


def test_only_what_was_asked_for_is_told_and_only_what_is_committed(database: Database) -> None:
    hear(database, batches=["autumn"])
    hear(database, "job.failed")
    batch = made(database, 1)
    (result,) = results(database, batch)

    def broken(session: Session) -> None:
        say(session, ANNA, result)
        raise RuntimeError("the power goes")

    for _ in range(2):
        with pytest.raises(RuntimeError):
            database.run(broken)
        assert told(database, "result.reviewed") == []
        hear(database)
    database.run(say, ANNA, result)
    assert len(told(database, "result.reviewed")) == len(told(database, "batch.reviewed")) == 2


def test_choosing_among_pictures_tells_which_verdict_counts_now(database: Database) -> None:
    hear(database)
    batch = made(database, 1, pictures=2)
    one, two = results(database, batch)
    for result in (one, two):
        database.run(say, ANNA, result)
    for _ in range(2):
        database.run(choose, BEN, one)
    found = told(database, "result.reviewed")
    assert [(each["result"], each["used"]) for each in found if each["result"] == two] == [(two, True)]
    assert [each["used"] for each in found if each["result"] == one] == [True, True]
    assert len(told(database, "batch.reviewed")) == 1
