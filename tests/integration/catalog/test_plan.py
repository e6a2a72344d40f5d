"""What a plan knows of accounts that have worked already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from catalog import plan

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


def held(database: Database, *seconds: float, state: str = "done") -> None:
    """Attempts that kept their places for so long."""
    for each, job in zip(seconds, database.jobs(len(seconds), state="succeeded"), strict=True):
        attempt = database.attempt(job, state)
        database.sql(
            "UPDATE attempts SET finished_at = sent_at + :seconds * interval '1 second' WHERE id = :id",
            seconds=each,
            id=attempt,
        )


def test_jobs_are_expected_to_take_what_the_latest_took_without_the_slowest(database: Database) -> None:
    account = database.account("main")
    held(database, *[3.0] * 19, 3_600.0)
    held(database, *[1.0] * 10, state="refused")

    status = database.run(plan._statuses, {"main": account})["main"]

    assert status.held == {"zhiqite.swap": pytest.approx(3.0)}


def test_a_few_jobs_tell_nothing(database: Database) -> None:
    account = database.account("main")
    held(database, *[3.0] * 9)

    assert database.run(plan._statuses, {"main": account})["main"].held == {}
