"""Verdicts in exports and books: who is listed, with which picture, and what an approved one costs, to the cent."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from desk.actors import Actor
from desk.verdicts import Decision, choose, judge
from models.people import Role
from models.transactions import Database as Transactions
from models.verdicts import Verdict
from reports.batch import find
from reports.export import Exported, jobs_of
from reports.reviews import VerdictsBy, summed, verdicts_of
from reports.today import figures
from reports.wilson import interval
from tests.integration.desk.pictures import give, key_of, made, results
from tests.words import unsaid
from workers.config.reasons import REVIEW_REASONS
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database", "tests.integration.commands"]

ANNA = Actor("Anna", Role.REVIEWER)


def say(database: Database, result: int, verdict: Verdict, *reasons: str, note: str | None = None) -> None:
    decision = Decision(verdict, reasons, note)
    database.run(judge, ANNA, result, decision, based_on=0, known_reasons=REVIEW_REASONS)


@pytest.fixture
def spring(database: Database) -> int:
    """Ten jobs at two accounts, some of which failed first: six are judged."""
    database.account()
    batch = made(database, 10, cost="0.03")
    database.sql("UPDATE batches SET label = 'acme' WHERE id = :id", id=batch)
    database.sql("UPDATE attempts SET account = 'other', cost = 0.0455 WHERE job_id IN ('job-00003', 'job-00004')")
    database.attempt("job-00000", "expired", number=2, cost="0.07")
    database.attempt("job-00001", "refused", number=2, cost="0.5")
    every = results(database, batch)
    for result in every[:4]:
        say(database, result, Verdict.APPROVED)
    for result in every[4:6]:
        say(database, result, Verdict.NEEDS_WORK, "hair", note="=cmd|' /C calc'!A0")
    return batch


def exported(database: Database, tmp_path: Path, batch: int, verdict: Verdict | None = None) -> list[Exported]:
    transactions = Transactions(database.url)
    try:
        return list(jobs_of(transactions, batch, Storage(str(tmp_path)), "USD", verdict))
    finally:
        transactions.close()


def test_an_export_says_what_people_said(database: Database, spring: int, tmp_path: Path) -> None:
    (failed,) = database.jobs(1, batch=spring, state="failed")
    rows = {job.key: job.said for job in exported(database, tmp_path, spring)}
    assert len(rows) == 11
    assert (rows["job-00000"].verdict, rows["job-00000"].reviewer) == ("approved", "Anna")
    assert rows["job-00000"].reviewed_at == database.one("SELECT at FROM verdicts WHERE job_id = 'job-00000'")
    assert (rows["job-00005"].reasons, rows["job-00005"].note) == (("hair",), "=cmd|' /C calc'!A0")
    assert (rows["job-00009"].verdict, rows["job-00009"].reviewer) == ("unreviewed", None)
    assert rows[failed].verdict is None, "there is no picture that anybody could look at"


@pytest.mark.parametrize(
    ("verdict", "keys"),
    [(Verdict.APPROVED, range(4)), (Verdict.NEEDS_WORK, (4, 5)), (Verdict.UNREVIEWED, range(6, 10))],
)
def test_an_export_of_one_verdict(
    database: Database, spring: int, tmp_path: Path, verdict: Verdict, keys: range
) -> None:
    database.jobs(2, batch=spring, state="failed")
    found = exported(database, tmp_path, spring, verdict)
    assert [job.key for job in found] == [f"job-{key:05}" for key in keys]
    assert all(len(job.results) == 1 for job in found)


def test_of_several_pictures_the_used_one_is_exported(database: Database, tmp_path: Path) -> None:
    batch = made(database, 1, pictures=3)
    _, two, _ = results(database, batch)
    say(database, two, Verdict.APPROVED)
    (job,) = exported(database, tmp_path, batch, Verdict.APPROVED)
    assert [result["index"] for result in job.results] == [1]
    (job,) = exported(database, tmp_path, batch)
    assert [result["index"] for result in job.results] == [0, 1, 2]
    # a former version that was chosen is what the job gives
    (newer,) = give(database, "job-00000", number=2)
    say(database, newer, Verdict.NEEDS_WORK, "hair")
    assert [result["key"] for result in exported(database, tmp_path, batch)[0].results] == [
        key_of("job-00000", 1, index) for index in range(3)
    ]
    database.run(choose, ANNA, newer)
    assert exported(database, tmp_path, batch)[0].said.verdict == "needs_work"
    assert exported(database, tmp_path, batch, Verdict.APPROVED) == []


def test_costs_for_each_approved_picture_are_those_of_the_rows(database: Database, spring: int) -> None:
    other = made(database, 2, name="autumn", cost="1.5")
    database.sql("INSERT INTO spend VALUES (:scope, 'all', 0.3910)", scope=f"batch:{spring}")
    whole = database.run(lambda session: verdicts_of(session, find(session, "spring")))
    assert (whole.made, whole.approved, whole.needs_work, whole.unreviewed) == (10, 4, 2, 4)
    assert whole.per_approved == Decimal("0.0978"), "0.391 / 4, rounded to the books' decimals"
    by_account = {row.name: row for row in database.run(summed, VerdictsBy.ACCOUNT, spring)}
    # 8 x 0.03 and the 0.07 that came to nothing; what was refused costs nothing
    assert (by_account["main"].spent, by_account["main"].approved) == (Decimal("0.31"), 3)
    assert (by_account["other"].spent, by_account["other"].approved) == (Decimal("0.091"), 1)
    assert by_account["other"].per_approved == Decimal("0.091")
    paid = database.one("SELECT sum(cost) FROM attempts WHERE state <> 'refused'")
    for by in VerdictsBy:
        rows = database.run(summed, by)
        assert sum(row.spent for row in rows) == paid
        found = {name: sum(getattr(row, name) for row in rows) for name in ("made", "approved", "needs_work")}
        assert found == {"made": 12, "approved": 4, "needs_work": 2}
    assert {row.name: row.approved for row in database.run(summed, VerdictsBy.LABEL)} == {"acme": 4, None: 0}
    assert {row.name for row in database.run(summed, VerdictsBy.BATCH)} == {"spring", "autumn"}
    assert {row.name for row in database.run(summed, VerdictsBy.OPERATION, other)} == {"zhiqite.swap"}


# --- By command ----------------------------------------------------------------------------------------------------


def test_commands_review_and_sum_up(database: Database, spring: int, command: Any) -> None:
    command("verdict", "spring/job-00006", "needs-work", "--reason", "hands", "--note", "six fingers")
    command("verdict", "spring/job-00007", "approve")
    command("verdict", "spring/job-00007", "approve", "--reason", "ugly", code=2)
    command("verdict", "spring/job-00008", "approve", "--picture", "4", code=2)
    document = command("review", "spring", "--json")
    assert (document["made"], document["needs_you"], document["waiting"]) == (10, 0, 0)
    assert [document["review"][name] for name in ("approved", "needs_work", "unreviewed")] == [5, 3, 2]
    assert {row["name"]: row["per_approved"] for row in document["rows"]} == {
        "main": {"amount": "0.0775", "currency": "USD"}, "other": {"amount": "0.091", "currency": "USD"}
    }  # fmt: skip
    assert command("status", "spring", "--json")["review"]["approved"] == 5
    assert not unsaid(command("status", "spring"), "5 approved", "3 need work", "2 unreviewed")
    command("verdict", "spring/job-00007", "undo")
    assert not unsaid(command("review", "spring", "--by", "label"), "acme", "4", "0.1003 USD", "0.401 USD")
    lines = [json.loads(line) for line in command("export", "spring", "--verdict", "needs_work").splitlines()]
    assert [(line["key"], line["reviewer"], line["reasons"]) for line in lines] == [
        ("job-00004", "Anna", ["hair"]), ("job-00005", "Anna", ["hair"]), ("job-00006", "ops", ["hands"])
    ]  # fmt: skip
    assert len(command("export", "spring", "--approved").splitlines()) == 4
    command("export", "spring", "--approved", "--verdict", "needs_work", code=2)
    assert [entry["action"] for entry in command("audit", "--limit", "3", "--json")] == ["undo", "judge", "judge"]


def test_commands_add_and_disable_people(database: Database, command: Any) -> None:
    command("people", "add", "Anna", "--role", "viewer", typed="correct horse battery\n")
    command("people", "add", "Ben", typed="short\n", code=2)
    command("people", "role", "Anna", "reviewer")
    command("people", "password", "Anna", typed="another long password\n")
    command("people", "disable", "anna")
    (anna,) = command("people", "list", "--json")
    assert (anna["name"], anna["role"], anna["disabled_at"] is None) == ("Anna", "reviewer", False)
    command("people", "enable", "Anna")
    command("people", "disable", "Nobody", code=2)
    assert not unsaid(command("audit"), "ops", "people add", "people disable", "person Anna")


def test_commands_that_change_something_are_recorded(database: Database, spring: int, command: Any) -> None:
    database.jobs(2, batch=spring)
    command("cancel", "--batch", "spring", "--dry-run")
    command("pause", "--batch", "spring", "--dry-run")
    command("status", "spring")
    command("resolve", "--batch", "spring")
    command("cancel", "--batch", "nothing", "--yes", code=2)
    assert command("audit", "--json") == [
        entry for entry in command("audit", "--json") if entry["action"] == "judge"
    ], "nothing was changed by a command yet"
    command("cancel", "--batch", "spring", "--yes")
    command("accounts", "pause", "main", "--note", "her invoice is open")
    command("accounts", "set", "main", "rate=30/min")
    command("accounts", "reset", "main")
    command("forget", "/secret/ann.jpg", "--consent", "R-17")
    found = [
        (entry["person"], entry["action"], entry["subject"], entry["detail"]) for entry in command("audit", "--json")
    ]
    assert found[:5] == [
        ("ops", "forget", "jobs", {}),
        ("ops", "accounts reset", "account main", {"name": "main"}),
        ("ops", "accounts set", "account main", {"name": "main", "words": ["rate=30/min"]}),
        ("ops", "accounts pause", "account main", {"name": "main"}),
        ("ops", "cancel", "batch spring", {"batch": "spring"}),
    ], "a record names no person's picture and repeats no free text"


def test_what_people_approve_of_an_account_is_of_the_pictures_that_it_made(database: Database, spring: int) -> None:
    found = database.run(figures, ["main", "other", "idle"])
    assert {name: (each.approved, each.judged) for name, each in found.items()} == {"main": (3, 4), "other": (1, 2)}
    assert found["main"].between == interval(3, 4)
    # Redone at the other account, and approved: the picture that needs work stays one of the first account.
    (again,) = give(database, "job-00005", number=2, account="'other'")
    say(database, again, Verdict.APPROVED)
    found = database.run(figures, ["main", "other"])
    assert {name: (each.approved, each.judged) for name, each in found.items()} == {"main": (3, 4), "other": (2, 3)}
