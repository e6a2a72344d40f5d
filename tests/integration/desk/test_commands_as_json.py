"""What commands that change something say to programs: the document of what was changed, as their lists have it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from cli.exit_codes import ExitCode
from models.people import Role
from tests.integration.desk.pictures import give, made
from tests.words import unsaid

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database", "tests.integration.commands"]

PASSWORD = "correct horse battery"


def test_people(command: Any) -> None:
    added = command("people", "add", "Anna", "--role", "viewer", "--json", typed=PASSWORD)
    assert (added["name"], added["role"], added["disabled_at"]) == ("Anna", "viewer", None)
    assert "password" not in added
    assert command("people", "role", "anna", "reviewer", "--json")["role"] == Role.REVIEWER
    assert command("people", "disable", "anna", "--json")["disabled_at"] is not None
    assert command("people", "enable", "anna", "--json")["disabled_at"] is None
    assert command("people", "password", "anna", "--json", typed=PASSWORD)["signed_in"] == 0
    (listed,) = command("people", "list", "--json")
    assert listed["name"] == "Anna"


def test_tokens_guests_and_releases(command: Any, database: Database) -> None:
    database.batch("spring")
    command("tokens", "add", "shop", "--spend-per-day", "20", "--json")
    revoked = command("tokens", "revoke", "shop", "--json")
    assert (revoked["name"], revoked["revoked_at"] is not None) == ("shop", True)
    assert revoked["spend_per_day"]["amount"] == "20"
    command("tokens", "add", "Shop", "--json")
    again = command("tokens", "revoke", "SHOP", "--json")
    assert (again["name"], again["spend_per_day"]) == ("Shop", None)

    link = command("guests", "add", "spring", "--json")
    revoked = command("guests", "revoke", str(link["number"]), "--json")
    assert (revoked["batch"], revoked["revoked_at"] is not None) == ("spring", True)

    release = command("releases", "set", "R-7", "--until", "2099-06-30", "--kind", "swap", "--json")
    assert (release["reference"], release["kinds"]) == ("R-7", ["swap"])
    ended = command("releases", "end", "R-7", "--json")
    assert (ended["reference"], ended["ends_at"] < release["ends_at"]) == ("R-7", True)


def test_accounts(command: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.accounts.wake", lambda *_: None)
    (account,) = command("accounts", "list", "--json")
    name = account["account"]
    paused = command("accounts", "pause", name, "--note", "tea", "--json")
    assert (paused["account"], paused["open"], paused["closed_note"]) == (name, False, "tea")
    assert command("accounts", "resume", name, "--json")["open"] is True
    changed = command("accounts", "set", name, "max_in_flight=3", "--json")
    assert command("accounts", "reset", name, "--json") != changed


def test_an_export_says_what_it_wrote(command: Any, database: Database, tmp_path: Path) -> None:
    database.account()
    made(database, 3)
    table = str(tmp_path / "out.csv")
    written = command("export", "spring", "--to", table, "--json")
    assert written == {"batch": "spring", "table": {"file": table, "jobs": 3}}
    assert len(Path(table).read_text().splitlines()) == 4


def test_the_schema(command: Any) -> None:
    assert command("db", "upgrade", "--json") == command("db", "check", "--json") == {"ok": True, "differences": []}


def test_books_say_what_was_approved(command: Any, database: Database) -> None:
    database.account()
    made(database, 4, cost="0.03")
    command("verdict", "spring/job-00000", "approve")
    (row,) = command("books", "--by", "operation", "--approved", "--json")["rows"]
    assert (row["approved"], row["spent"]["amount"], row["per_approved"]["amount"]) == (1, "0.12", "0.12")
    assert "per approved" in command("books", "--by", "operation", "--approved")
    assert "approved" not in command("books")
    command("books", "--by", "month", "--approved", code=2)
    command("books", "--month", "2026-01", "--approved", code=2)


@pytest.mark.parametrize("words", [("resume", "--batch", "spring"), ("pilot", "spring", "--go-on")])
@pytest.mark.parametrize(("limit", "facts"), [("0.04", ("0.04", "0.05")), ("much", ("much", "12.50"))])
def test_a_limit_that_pays_for_nothing_is_refused_by_its_option(
    command: Any, database: Database, capsys: Any, words: tuple[str, ...], limit: str, facts: tuple[str, ...]
) -> None:
    batch = database.batch("spring", max_cost="0.05")
    database.sql("INSERT INTO spend (scope, period, amount) VALUES ('batch:' || :id, 'all', 0.05)", id=batch)
    database.sql("INSERT INTO pilots (batch_id, size) VALUES (:id, '1')", id=batch)
    command(*words, "--max-cost", limit, code=ExitCode.USAGE)
    assert unsaid(capsys.readouterr().err, "--max-cost", *facts) == []


def test_verdicts_about_single_jobs(command: Any, database: Database) -> None:
    database.account()
    made(database, 2)
    jobs = database.jobs(3, state="succeeded")
    for job in jobs:
        give(database, job)
    counted = command("verdict", "--singles", "approve", "--dry-run", "--json")
    assert counted == {"answer": "approve", "dry_run": True, "pictures": 3, "done": 0, "left_out": {}}
    command("verdict", jobs[0], "needs-work", "--reason", "hair")
    assert unsaid(command("verdict", "--singles", "approve"), "2 pictures", "single jobs") == []
    dry = ("verdict", "--singles", "undo", "--dry-run")
    assert command(*dry, "--verdict", "approved", "--json")["pictures"] == 2
    assert command("verdict", "--singles", "undo", "--verdict", "approved", "--json")["done"] == 2
    shown = command(*dry, "--verdict", "unreviewed", "--json")
    assert (shown["pictures"], shown["left_out"]) == (0, {"not_yours": 2}), "they were taken back"
    assert command("verdict", "--singles", "approve", "--account", "nobody", "--json")["pictures"] == 0
    rows = database.sql("SELECT job_id, verdict FROM reviews WHERE verdict <> 'unreviewed'")
    assert [tuple(row) for row in rows] == [(jobs[0], "needs_work")]
    for wrong in (
        ("--singles", jobs[0], "approve"), ("--singles", "fine"), ("--singles", "choose"), ("approve",),
        ("spring", "fine"), ("--singles", "approve", "--picture", "0"),
    ):  # fmt: skip
        command("verdict", *wrong, code=2)
