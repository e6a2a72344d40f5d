"""Looks for few jobs by a filter: they end in time, and say what takes too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from models.connection import LIMITS
from recast.errors import InvalidJobError
from tests.words import names
from workers.jobs.filters import Filter, Filtered, look, some_ids

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


def test_what_comes_after_a_look_may_take_as_long_as_ever(database: Database) -> None:
    def limit(session: Session) -> str:
        assert some_ids(session, Filter(), 5) == []
        return str(session.execute(text("SHOW statement_timeout")).scalar_one())

    assert database.run(limit) == LIMITS["statement_timeout"]
