"""Looks for few jobs by a filter: they end in time, and say what takes too long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.checks import CheckName
from models.connection import LIMITS
from models.states import JobState
from models.verdicts import Verdict
from recast.errors import InvalidJobError
from tests.words import names, unsaid
from workers.jobs.filters import Filter, Filtered, all_ids, look, some_ids

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

SLOW = Filtered(lambda which: f"SELECT j.id, pg_sleep(:wait) FROM {which.jobs} WHERE {which.where}")  # noqa: S608
SPRING = Filter(batch="spring", metadata="x" * 100)


def test_a_look_that_takes_too_long_says_for_what(database: Database) -> None:
    database.jobs(batch=database.batch("spring"), extra='{"color": "' + "x" * 100 + '"}')
    with pytest.raises(InvalidJobError, match=names("filter", "spring", "metadata", "x" * 40, "0.2 s", "a state")):
        database.run(look, SPRING, SLOW, 0.2, wait=30)
    assert len(database.run(look, SPRING, SLOW, 5.0, wait=0)) == 1


@pytest.mark.parametrize(
    ("which", "facts"),
    [
        (
            Filter(batch="", states=[JobState.SUCCEEDED, "failed"], check=[*map(str, CheckName)]),
            ("single jobs, state succeeded, failed, any check", "by a verdict"),
        ),
        (Filter(batch="spring", check=[CheckName.BLANK, "no_face"]), ("check blank, no_face", "a state or a verdict")),
        (Filter(batch="spring", verdict=Verdict.APPROVED, fault="hair"), ("verdict 'approved'", "reason 'hair'")),
        (
            Filter(label="shoes", noted=True, older=90.0),
            ("label 'shoes', a note, older than 90s", "a batch or a state"),
        ),
        (Filter(batch="", states=["failed"], verdict="approved", check=["blank"]), ("ids of jobs",)),
        (Filter(), ("all jobs",)),
    ],
)
def test_a_look_that_takes_too_long_speaks_as_people_do(
    database: Database, which: Filter, facts: tuple[str, ...]
) -> None:
    slow = Filtered(lambda _: "SELECT pg_sleep(30)")
    with pytest.raises(InvalidJobError) as caught:
        database.run(look, which, slow, 0.05)
    assert unsaid(str(caught.value), *facts) == []
    assert not set("[]<>") & set(str(caught.value)), "nothing as Python writes it"
    assert "''" not in str(caught.value)


def test_all_that_fit_are_looked_for_as_long(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = database.jobs(3, batch=database.batch("spring"))
    assert database.run(all_ids, Filter(batch="spring")) == sorted(ids)
    monkeypatch.setattr("workers.jobs.filters._IDS", SLOW)
    monkeypatch.setattr("workers.jobs.filters.look", partial(look, seconds=0.2, wait=30))
    with pytest.raises(InvalidJobError, match=names("batch", "spring", "0.2 s")):
        database.run(all_ids, Filter(batch="spring"))


def test_what_comes_after_a_look_may_take_as_long_as_ever(database: Database) -> None:
    def limit(session: Session) -> str:
        assert some_ids(session, Filter(), 5) == []
        return str(session.execute(text("SHOW statement_timeout")).scalar_one())

    assert database.run(limit) == LIMITS["statement_timeout"]
