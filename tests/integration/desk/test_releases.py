"""Releases at each door to a provider: catalogs, producers' messages, redos, and jobs that waited while one ended."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from celery.app.task import Context

from catalog.enqueue import enqueue
from catalog.errors import BadRowsError
from catalog.intake import take_in
from catalog.plan import plan
from desk import redo_plan, releases
from desk.actors import Actor, ForbiddenError
from models.people import Role
from models.states import Reason
from recast.errors import InvalidJobError
from tests.integration.desk.pictures import made
from tests.unit.catalog import catalogs
from tests.words import names, unsaid
from workers.engine.runner import run
from workers.engine.submit import SubmitPump
from workers.jobs.run_options import RunOptions
from workers.producers.accept import accept
from workers.producers.check import TaskMessage

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.database import Database, RuntimeFactory
    from workers.engine.runtime import Runtime

pytest_plugins = ["tests.integration.database"]

OLGA, ANNA = Actor("Olga", Role.OPERATOR), Actor("Anna", Role.REVIEWER)
PAIR = {"source": "https://example.com/a.jpg", "target": "https://example.com/b.jpg"}
YESTERDAY = datetime.now(UTC) - timedelta(days=1)

#: What is written of the release R-1; whether it allows a swap in a batch with the label `summer`, and a single one.
SCOPES = [
    ({}, True, True),
    ({"ends_at": datetime.now(UTC) + timedelta(days=1)}, True, True),
    ({"ends_at": YESTERDAY}, False, False),
    ({"kinds": ["swap"]}, True, True),
    ({"kinds": ["generate"]}, False, False),
    ({"labels": ["summer", "winter"]}, True, False),
    ({"labels": ["winter"]}, False, False),
]


@pytest.fixture
def runtime(make_runtime: RuntimeFactory) -> Runtime:
    """One account."""
    return make_runtime(main={"prices": {"swap": "0.02 USD"}})


def written(database: Database, scope: dict[str, Any]) -> None:
    database.run(releases.put, OLGA, "R-1", **scope)


def catalog(runtime: Runtime, folder: Path) -> None:
    consents = {"1": "R-1", "2": "R-2", "3": ""}
    rows = [{"key": key, "kind": "swap", **PAIR, "consent": consent} for key, consent in consents.items()]
    with take_in(catalogs.write_csv(folder / "spring.csv", rows), runtime.accounts, runtime.reach) as intake:
        plan(runtime, intake, RunOptions(label="summer"))
        enqueue(runtime, intake, RunOptions(label="summer"))


@pytest.mark.parametrize(("scope", "in_batch", "alone"), SCOPES)
def test_a_row_or_a_message_that_its_release_does_not_allow_is_refused_by_name(
    database: Database, runtime: Runtime, tmp_path: Path, scope: dict[str, Any], in_batch: bool, alone: bool
) -> None:
    written(database, scope)
    if in_batch:
        catalog(runtime, tmp_path)
    else:
        with pytest.raises(BadRowsError) as caught:
            catalog(runtime, tmp_path)
        assert [(mistake.line, mistake.column, mistake.key) for mistake in caught.value.mistakes] == [
            (2, "consent", "1")
        ]
        assert unsaid(str(caught.value), "R-1", "recast releases show R-1") == []
    assert database.one("SELECT count(*) FROM jobs") == (3 if in_batch else 0)

    sent = [
        TaskMessage("swap", (), {**PAIR, "consent": consent}, Context(id=consent, args=(), kwargs={}, delivery_info={}))
        for consent in ("R-1", "R-2")
    ]
    first, second = accept(runtime, sent)
    assert second == "R-2", "a bad message harms no other"
    assert (first == "R-1") is alone
    if not alone:
        assert isinstance(first, InvalidJobError)
        assert first.field == "consent"


def test_what_was_accepted_before_the_end_is_still_known_to_its_producer(database: Database, runtime: Runtime) -> None:
    asked = TaskMessage("swap", (), {**PAIR, "consent": "R-1"}, Context(id="t", args=(), kwargs={}, delivery_info={}))
    assert accept(runtime, [asked]) == ["t"]
    database.run(releases.end, OLGA, "R-1")
    assert accept(runtime, [asked]) == ["t"], "the same message again is the same job"


def test_a_job_that_waited_while_its_release_ended_is_rejected_and_not_paid(
    database: Database, runtime: Runtime
) -> None:
    ended, other = database.jobs(2, extra='{"consent": "R-1"}'), database.jobs(1)
    database.run(releases.end, OLGA, "R-1")
    database.account("main")
    database.sql("UPDATE jobs SET not_before = now() + interval '1 hour' WHERE id = ANY(:ids)", ids=other)
    run(runtime, SubmitPump(runtime, "main"), None)

    rows = {row.id: row for row in database.sql("SELECT id, state, reason, error FROM jobs")}
    assert [(rows[job].state, rows[job].reason) for job in ended] == [("rejected", Reason.CONSENT)] * 2
    assert unsaid(rows[ended[0]].error, "R-1", "ended") == []
    assert rows[other[0]].state == "queued"
    assert database.sql("SELECT 1 FROM attempts") == []


def test_a_redo_leaves_out_what_the_release_does_not_allow(database: Database, runtime: Runtime) -> None:
    made(database, 2)
    database.sql("""UPDATE jobs SET extra = '{"consent": "R-1"}' WHERE id = (SELECT min(id) FROM jobs)""")
    written(database, {"ends_at": YESTERDAY})
    terms = redo_plan.Terms.of(runtime.settings, runtime.accounts, runtime.reach)
    ids = [row.id for row in database.sql("SELECT id FROM jobs")]
    found = database.run(redo_plan.plan, ids, redo_plan.Change(), terms)
    assert len(found.jobs) == 1
    ((why, number),) = found.left_out.items()
    assert (number, unsaid(why, "R-1")) == (1, [])


def test_what_is_written_replaces_what_was_and_an_end_is_never_moved_later(database: Database) -> None:
    written(database, {"labels": ["summer"]})
    written(database, {"ends_at": YESTERDAY, "kinds": ["swap"]})
    database.run(releases.end, OLGA, "R-1")
    (found,) = database.run(releases.everything)
    assert (found.ends_at, found.kinds, found.labels, found.ended) == (YESTERDAY, ["swap"], None, True)
    actions = [row.action for row in database.sql("SELECT action FROM audit ORDER BY id")]
    assert actions == ["releases set", "releases set", "releases end"]


def test_everything_that_was_made_under_a_release_is_listed(database: Database) -> None:
    made(database, 3, pictures=2)
    database.sql("""UPDATE jobs SET extra = '{"consent": "R-1"}' WHERE id <> (SELECT min(id) FROM jobs)""")
    release, jobs = database.run(releases.made, "R-1")
    assert release is None
    assert [(job.batch, job.state, job.pictures) for job in jobs] == [("spring", "succeeded", 2)] * 2
    with pytest.raises(releases.ReleaseError, match=names("R-9")):
        database.run(releases.made, "R-9")


@pytest.mark.parametrize(
    ("reference", "scope", "said"),
    [("", {}, "reference"), ("a\nb", {}, "reference"), ("R", {"kinds": ["sing"]}, "sing")],
)
def test_what_cannot_be_is_refused(database: Database, reference: str, scope: dict[str, Any], said: str) -> None:
    with pytest.raises(releases.ReleaseError, match=names(said)):
        database.run(releases.put, OLGA, reference, **scope)
    with pytest.raises(ForbiddenError):
        database.run(releases.put, ANNA, "R-1")
    assert database.sql("SELECT 1 FROM releases") == []
