"""Changed rows on a real database: a new version of the job, and what becomes of the former one."""

from __future__ import annotations

from decimal import Decimal

import pytest

from models.identity import client_reference
from models.states import AttemptState, JobState
from reports.batch import find
from reports.export import jobs_of
from reports.job import find_detail
from tests.integration.catalog.desk import Desk, portrait
from workers.engine import begin, claims, saving
from workers.engine.effects import Effects
from workers.engine.record import record
from workers.jobs.state_changes import AttemptMove, JobMove

pytest_plugins = ["tests.integration.database"]

OLD, NEW = (f"{digit * 2}/{digit * 2}/{digit * 64}.png" for digit in "ab")


def test_a_changed_row_is_unreviewed_again_and_its_history_is_kept(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old"), portrait("2", prompt="old")])
    of_this = "batch_id = (SELECT id FROM batches WHERE name = :batch)"
    desk.sql(f"UPDATE jobs SET state = 'succeeded' WHERE {of_this}")  # noqa: S608
    desk.sql("UPDATE batches SET queued = 0, succeeded = 2 WHERE name = :batch")
    desk.sql(
        "INSERT INTO reviews (job_id, batch_id, seq, verdict)"  # noqa: S608
        f" SELECT id, batch_id, seq, 'approved' FROM jobs WHERE {of_this}"
    )
    assert desk.enqueue([portrait("1", prompt="new"), portrait("2", prompt="old")]).changed == 1
    rows = desk.sql(f"SELECT j.key FROM reviews r JOIN jobs j ON j.id = r.job_id WHERE r.{of_this}")  # noqa: S608
    assert [row.key for row in rows] == ["2"]


def test_a_changed_row_is_a_new_version_and_the_former_one_is_kept(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old")])
    desk.attempt("1", 1, "refused")
    desk.attempt("1", 2, "done", OLD, outputs="[]")
    desk.put("1", "succeeded")
    desk.enqueue([portrait("1", prompt="new")])

    detail = desk.runtime.db(find_detail, f"{desk.name}/1", desk.runtime.storage)
    (former,) = detail.versions
    assert (detail.job.version, detail.job.prompt) == (2, "new")
    assert (former.version, former.prompt, former.state, former.last_attempt) == (1, "old", "succeeded", 2)
    assert [(item.number, item.version) for item in detail.attempts] == [(1, 1), (2, 1)]
    assert [(item.key, item.version) for item in detail.results] == [(OLD, 1)]
    assert exported(desk) == [], "the new version has no picture yet"

    desk.attempt("1", 3, "done", NEW, outputs="[]")
    desk.put("1", "succeeded")
    assert exported(desk) == [NEW]
    detail = desk.runtime.db(find_detail, f"{desk.name}/1", desk.runtime.storage)
    assert [item.version for item in detail.results] == [1, 2]

    desk.enqueue([portrait("1", prompt="newer")])
    detail = desk.runtime.db(find_detail, f"{desk.name}/1", desk.runtime.storage)
    assert [(item.version, item.last_attempt) for item in detail.versions] == [(1, 2), (2, 3)]


def exported(desk: Desk) -> list[str]:
    """Keys of the pictures that the batch's export has."""

    batch = desk.runtime.db(find, desk.name).id
    return [
        result["key"] for job in jobs_of(desk.runtime, batch, desk.runtime.storage, "USD") for result in job.results
    ]


def test_a_row_that_is_tried_again_stays_the_version_it_is(desk: Desk) -> None:
    desk.enqueue([portrait("1")])
    desk.attempt("1", 1, "done")
    desk.put("1", "failed")
    assert desk.enqueue([portrait("1")]).retried == 1
    assert (desk.job("1").version, desk.job("1").former_attempts) == (1, 0)


@pytest.mark.parametrize("state", ["running", "expired"])
def test_a_late_result_of_a_former_version_is_not_the_present_ones(desk: Desk, state: str) -> None:
    # Given a job that was canceled while its attempt was under way, and whose row was changed
    desk.enqueue([portrait("1", prompt="old")])
    desk.attempt("1", 1, state, account="qolaba-main", operation="qolaba.consistency")
    desk.put("1", "canceled")
    desk.enqueue([portrait("1", prompt="new")])
    desk.attempt("1", 2, "running", account="qolaba-main", operation="qolaba.consistency")
    desk.put("1", "running")

    # When the result comes
    old = client_reference(desk.job("1").id, 1)
    done = AttemptMove(old, AttemptState.DONE, accepted=True, outputs='[{"url": "https://example.com/old.png"}]')
    effects = Effects(done, JobMove(desk.job("1").id, JobState.SAVING))
    recorded = desk.runtime.db(record, "qolaba-main", [effects])

    # Then the books know it, and the job waits for its own
    assert [row.state for row in desk.sql("SELECT state FROM attempts WHERE id = :id", id=old)] == ["done"]
    assert (desk.job("1").state, recorded.saving) == ("running", False)
    desk.put("1", "saving")
    new = client_reference(desk.job("1").id, 2)
    desk.sql("UPDATE attempts SET state = 'done', outputs = '[]' WHERE id = :id", id=new)
    (claimed,) = [item for item in desk.runtime.db(saving.claim, 100) if item.job_id == desk.job("1").id]
    assert claimed.attempt_id == new


def test_inputs_that_were_read_before_the_change_are_not_sent(desk: Desk) -> None:
    desk.enqueue([portrait("1", prompt="old")])
    account = desk.runtime.accounts["qolaba-main"]
    claimed = [claim for claim in desk.runtime.db(claims.claim, account, 100) if claim.job_id == desk.job("1").id]
    desk.sql("UPDATE jobs SET claimed_until = now() - interval '1 second' WHERE id = :id", id=desk.job("1").id)
    assert desk.enqueue([portrait("1", prompt="new")]).changed == 1

    ready = [begin.Ready(claim, Decimal(0), locator=None, callback_token=None) for claim in claimed]
    assert not desk.runtime.db(begin.begin, account, ready).started
    assert desk.job("1").state == "queued"
