"""Commands that choose jobs of producers, which belong to no batch, by `--singles` and a filter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from cli.exit_codes import ExitCode
from desk import audit
from recast.errors import InvalidJobError
from tests.integration.desk.pictures import give, made
from tests.words import unsaid

if TYPE_CHECKING:
    from tests.integration.database import Database, RuntimeFactory

pytest_plugins = ["tests.integration.database", "tests.integration.commands"]

PARKED = "SELECT id FROM jobs WHERE starts_with(lane, '!@') ORDER BY id"


@pytest.fixture
def singles(
    database: Database, command: Any, make_runtime: RuntimeFactory, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Two single jobs with pictures, one that failed at another account, and two that wait, beside a batch of each."""
    monkeypatch.setattr("cli.redo.wake", lambda *_: None)
    make_runtime(main={"prices": {"swap": "0.02 USD"}})
    database.account()
    batch = made(database, 2)
    database.jobs(2, batch=batch, state="failed", reason="timed_out")
    database.jobs(2, batch=batch)
    found = [*database.jobs(2, state="succeeded"), *database.jobs(1, state="failed"), *database.jobs(2)]
    for job in found[:2]:
        give(database, job)
    database.attempt(found[2], "refused", account="'other'")
    return found


def states(database: Database, batch: str) -> dict[str, str]:
    """The states of the jobs of a batch, or of single jobs."""
    rows = database.sql("SELECT j.id, j.state FROM jobs j JOIN batches b ON b.id = j.batch_id WHERE name = :b", b=batch)
    return {row.id: row.state for row in rows}


def test_single_jobs_are_counted_then_changed_and_batches_stay(
    command: Any, database: Database, singles: list[str]
) -> None:
    before = states(database, "spring")
    counted = command("retry", "--singles", "--dry-run", "--json")
    assert (counted["jobs"], counted["done"], counted["cost"]["amount"]) == (1, 0, "0.04")
    assert states(database, "")[singles[2]] == "failed"
    assert command("retry", "--singles", "--account", "nobody", "--json")["jobs"] == 0
    assert command("retry", "--singles", "--account", "other", "--json")["done"] == 1
    assert command("retry", "--singles", "--json")["done"] == 0, "it waits already"
    assert [job["id"] for job in command("jobs", "--singles", "--state", "queued", "--json")] == singles[:1:-1]
    assert command("set-priority", "--singles", "--priority", "7", "--json")["done"] == 3
    canceled = command("cancel", "--singles", "--json")
    assert (canceled["jobs"], canceled["done"]) == (3, 3)
    assert states(database, "") == dict(zip(singles, ["succeeded"] * 2 + ["canceled"] * 3, strict=True))
    assert states(database, "spring") == before
    assert database.one("SELECT count(*) FROM jobs WHERE priority <> 0") == 3
    found = [(entry.action, entry.subject) for entry in database.run(audit.latest, 9)]
    assert found == [(verb, "single jobs") for verb in ("cancel", "set-priority", "retry", "retry", "retry")]


def test_single_jobs_are_paused_one_by_one(command: Any, database: Database, singles: list[str]) -> None:
    paused = command("pause", "--singles", "--json")
    assert (paused["jobs"], paused["done"], "batches" in paused) == (2, 2, False)
    assert [row.id for row in database.sql(PARKED)] == sorted(singles[3:])
    assert database.one("SELECT count(*) FROM batches WHERE paused_at IS NOT NULL") == 0
    (later,) = database.jobs(1)
    database.sql("UPDATE jobs SET state = 'failed' WHERE id = :id", id=singles[4])
    assert command("resume", "--singles", "--newer", "1h", "--dry-run", "--json")["jobs"] == 1
    assert command("resume", "--singles", "--json")["done"] == 1
    assert database.sql(PARKED) == [], "also the one that failed: its retry is sent"
    assert states(database, "")[later] == "queued"


def test_single_jobs_are_redone_within_a_limit(command: Any, database: Database, singles: list[str]) -> None:
    command("verdict", "--singles", "approve")
    command("verdict", singles[1], "needs-work", "--reason", "hair")
    assert command("redo", "--singles", "--verdict", "unreviewed", "--json")["jobs"] == 0
    shown = command("redo", "--singles", "--reason", "hair", "--dry-run")
    assert unsaid(shown, "at most", "1 picture", "nothing was changed") == []
    asked = command("redo", "--singles", "--verdict", "needs_work", "--dry-run", "--json")
    assert (asked["jobs"], asked["done"]) == (1, 0)
    command("redo", "--singles", "--max-cost", "0.01", "--yes", code=ExitCode.USAGE)
    assert database.sql("SELECT job_id FROM redos") == []
    assert command("redo", "--singles", "--verdict", "needs_work", "--yes", "--json")["done"] == 1
    assert [row.job_id for row in database.sql("SELECT job_id FROM redos")] == [singles[1]]


def test_paid_results_and_held_jobs_of_singles_are_found(
    command: Any, database: Database, singles: list[str], capsys: Any
) -> None:
    (lost,) = database.jobs(1, state="failed", reason="bad_picture")
    database.attempt(lost, "done", cost="0.02", outputs="""'[{"url": "https://example.com/1.png"}]'""")
    shown = command("retry", "--singles", "--dry-run")
    assert unsaid(shown, "1 of them", "recast redownload --singles") == []
    assert command("redownload", "--singles", "--dry-run", "--json")["jobs"] == 1
    (held,) = database.jobs(1, state="held", reason="unclear_submit")
    database.attempt(held, "unknown", cost="0.02")
    found = command("resolve", "--singles", "--dry-run", "--json", code=ExitCode.OK)
    assert [job["job_id"] for job in found["jobs"]] == [held]
    assert command("resolve", "--singles", "--give-up", "--json")["resolved"] is True
    assert states(database, "")[held] == "failed"


def test_a_redo_is_looked_for_no_longer_than_other_filters(
    command: Any, database: Database, singles: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def look(*_: object, **__: object) -> None:
        raise InvalidJobError("filter", "a look for single jobs takes more than 10 s")

    monkeypatch.setattr("workers.jobs.filters.look", look)
    command("redo", "--singles", "--check", "any", "--dry-run", code=ExitCode.USAGE)
    assert unsaid(capsys.readouterr().err, "single jobs", "10 s") == []


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("cancel", "spring", "--singles"), ("spring", "--singles")),
        (("retry", "--singles", "--batch", "spring"), ("--batch 'spring'", "--singles")),
        (("pause", "--singles", "--label", "shoes"), ("--label 'shoes'", "--singles")),
        (("redo", "spring", "job-1", "--singles"), ("spring", "--singles")),
        (("cancel",), ("batch", "--singles", "--all")),
        (("redo",), ("batch", "--singles", "--all")),
        (("cancel", "--batch", ""), ("--batch", "empty", "--singles")),
        (("resume", "--singles", "--max-cost", "5"), ("--max-cost", "one batch")),
        (("retry", "--singles", "--state", "succeeded"), ("--state", "succeeded", "failed")),
        (("redo", "--singles", "--reason", "nope"), ("--reason", "nope", "hair")),
        (("redo", "--singles", "--verdict", "nope"), ("--verdict", "nope", "unreviewed")),
        (("redo", "--singles", "--check", "ugly"), ("--check", "ugly", "blurred")),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    command: Any, database: Database, singles: list[str], capsys: Any, words: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    before = (states(database, ""), states(database, "spring"))
    command(*words, code=ExitCode.USAGE)
    said = capsys.readouterr().err
    assert unsaid(said, *facts) == []
    assert "Value error" not in said
    assert (states(database, ""), states(database, "spring")) == before
