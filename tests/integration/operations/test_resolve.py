"""What a person says of held jobs moves the attempt, the job and the money together."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from workers.jobs.filters import Filter
from workers.operations.resolve import Verdict, held, resolve

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]


@pytest.fixture
def lost(database: Database) -> str:
    """A held job in a batch, whose submission cost 0.50 and got no answer."""
    account = database.account("main")
    batch = database.batch("season")
    (job,) = database.jobs(1, batch=batch)
    database.start(account, 1, "0.50")
    database.sql("UPDATE attempts SET state = 'unknown', next_poll_at = deadline_at")
    database.sql("UPDATE jobs SET state = 'held', reason = 'unclear_submit'")
    database.sql("UPDATE batches SET running = 0, held = 1 WHERE id = :id", id=batch)
    return job


@pytest.mark.parametrize(
    ("verdict", "handle", "job_state", "attempt_state", "spent"),
    [
        (Verdict.ACCEPTED, "task-7", "running", "running", "0.50"),
        (Verdict.NOT_ACCEPTED, None, "queued", "not_sent", "0"),
        (Verdict.GIVE_UP, None, "failed", "expired", "0.50"),
    ],
)
def test_a_verdict(
    database: Database, lost: str, verdict: Verdict, handle: str | None, job_state: str, attempt_state: str, spent: str
) -> None:
    found = database.run(held, Filter(batch="season"))
    assert [(item.job_id, item.cost) for item in found] == [(lost, Decimal("0.50"))]

    recorded = database.run(resolve, "main", found, verdict, handle)

    (job,) = database.sql("SELECT state FROM jobs")
    (attempt,) = database.sql("SELECT state, handle, accepted_at IS NOT NULL AS accepted FROM attempts")
    assert (job.state, attempt.state, attempt.handle) == (job_state, attempt_state, handle)
    assert attempt.accepted is (verdict is Verdict.ACCEPTED)
    assert recorded.requeued is (verdict is Verdict.NOT_ACCEPTED)
    (spend,) = database.sql("SELECT amount FROM spend WHERE period LIKE 'day:%'")
    assert spend.amount == Decimal(spent)
    (batch,) = database.sql(f"SELECT {job_state} AS now, held FROM batches WHERE name = 'season'")  # noqa: S608
    assert (batch.now, batch.held) == (1, 0)


def test_a_job_that_moved_meanwhile_is_left_alone(database: Database, lost: str) -> None:
    found = database.run(held, Filter(ids=[lost]))
    database.sql("UPDATE attempts SET state = 'done'")
    database.sql("UPDATE jobs SET state = 'saving'")

    database.run(resolve, "main", found, Verdict.NOT_ACCEPTED, None)

    assert [row.state for row in database.sql("SELECT state FROM jobs")] == ["saving"]
    assert database.spend()
    assert database.run(held) == []


def test_an_accepted_job_needs_its_handle(database: Database, lost: str) -> None:
    found = database.run(held)
    with pytest.raises(ValueError, match="handle"):
        database.run(resolve, "main", found, Verdict.ACCEPTED, None)
