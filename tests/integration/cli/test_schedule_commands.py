"""`recast schedule` as people and programs call it, on a real database; and one schedule in a whole deployment."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from celery import Celery

from cli.exit_codes import ExitCode
from cli.main import main
from models.connection import make_sessions
from tests.stack import PORTRAITS, Stack, wait_for, write_accounts
from tests.unit.catalog.catalogs import picture, swap, write_csv
from tests.words import unsaid
from workers.config.settings import Settings
from workers.messaging.app import configuration
from workers.schedules import service
from workers.schedules.cron import CronSchedule
from workers.schedules.service import Agreement

if TYPE_CHECKING:
    from tests.integration.database import Database, Messages

pytest_plugins = ["tests.integration.database"]

ACCOUNT = {
    "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
    "prices": {"swap": "0.02 USD"},
}  # fmt: skip
NIGHTLY = ("schedule", "add", "nightly", "shoes.csv", "--cron", "30 2 * * *", "--zone", "Europe/Berlin")


@pytest.fixture
def desk(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a catalog and an account, whose commands use the test's database."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name, value in {
        "DATABASE_URL": database.url, "BROKER_URL": "redis://127.0.0.1:1/0", "HOME": str(tmp_path / "home"),
        "PUBLIC_URL": "http://127.0.0.1:9", "SECRET_KEY": "test-secret-key-of-32-characters",
        "ACCOUNTS_FILE": "accounts.toml",
    }.items():  # fmt: skip
        monkeypatch.setenv(f"RECAST_{name}", value)
    write_accounts(tmp_path / "accounts.toml", {"main": ACCOUNT})
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    write_csv(tmp_path / "shoes.csv", [swap("1"), swap("2")])
    return tmp_path


@pytest.fixture
def ask(desk: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Calls a command for its JSON."""

    def call(*words: str) -> Any:
        assert main([*words, "--json"]) == ExitCode.OK
        return json.loads(capsys.readouterr().out)

    return call


def test_a_schedules_life(ask: Callable[..., Any], database: Database, desk: Path, messages: Messages) -> None:
    added = ask(*NIGHTLY, "--overlap", "queue", "--catch-up", "all", "--window", "2h", "--max-cost", "5", "--fresh")
    assert added["catalog"] == str(desk / "shoes.csv"), "workers run elsewhere"
    assert (added["overlap"], added["catch_up"], added["catch_up_seconds"]) == ("queue", "all", 7_200)
    assert added["options"] == {"max_cost": {"amount": "5", "currency": "USD"}, "fresh": True}
    assert [each["name"] for each in ask("schedule", "list")] == ["nightly"]

    assert [(entry["action"], entry["subject"]) for entry in ask("audit")] == [("schedule add", "schedule nightly")]
    assert "shoes.csv" not in str(ask("audit")), "a catalog's address may have a password"

    shown = ask("schedule", "show", "nightly", "--times", "3")
    assert shown["next_times"][0] == added["next_at"]
    assert len(shown["next_times"]) == 3
    assert ask("schedule", "pause", "nightly")["next_at"] is None
    assert ask("schedule", "show", "nightly")["next_times"] == []

    assert ask("schedule", "run", "nightly")["schedule"] == "nightly"
    assert [task for task, _, _ in messages] == ["fire"]
    (run,) = ask("schedule", "history", "nightly")
    assert (run["state"], run["by_hand"], run["cost"]) == ("due", True, None)

    assert ask("schedule", "resume", "nightly")["next_at"] == added["next_at"]
    changed = ask(*NIGHTLY, "--replace")
    assert (changed["options"], changed["last"]["by_hand"]) == ({}, True)
    assert ask("schedule", "remove", "nightly") == {"removed": "nightly"}
    assert ask("schedule", "list") == []


def test_a_dry_run_tells_the_times_in_the_zone_and_in_utc(
    ask: Callable[..., Any], database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ask(*NIGHTLY, "--dry-run", "--times", "400")
    assert len(told) == 400
    offsets = set()
    for each in told:
        utc, local = datetime.fromisoformat(each["utc"]), datetime.fromisoformat(each["local"])
        assert (utc, utc.tzinfo) == (local, UTC)
        assert (local.hour, local.minute) in {(2, 30), (3, 0)}, "the night in which half past two is skipped"
        offsets.add(local.utcoffset())
    assert len(offsets) == 2
    assert main([*NIGHTLY, "--dry-run"]) == ExitCode.OK
    assert capsys.readouterr().out.count(" UTC") == 5
    assert database.sql("SELECT 1 FROM schedules") == []


def test_what_people_read(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*NIGHTLY, "--label", "shoes", "--priority", "0"]) == ExitCode.OK
    assert main(["schedule", "run", "nightly"]) == ExitCode.OK
    capsys.readouterr()
    assert main(["schedule", "show", "nightly"]) == ExitCode.OK
    shown = capsys.readouterr().out
    assert unsaid(shown, "30 2 * * *", "Europe/Berlin", "skip", "latest") == []
    assert unsaid(shown, "shoes", "priority", "0") == []
    assert unsaid(shown, "due") == []
    assert main(["schedule", "list"]) == ExitCode.OK
    assert "nightly" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        (("--cron", "61 * * * *"), ("cron", "61 * * * *", "minute")),
        (("--zone", "Mars/Base"), ("zone", "Mars/Base", "Europe/Berlin")),
        (("--window", "soon"), ("soon",)),
        (("--window", "0s"), ("window", "0 s")),
        (("--max-cost", "much"), ("--max-cost", "much")),
        (("--deadline", "2999-01-01"), ("deadline", "2999-01-01T00:00:00+00:00")),
        (("--keep", "36h"), ("--keep", "36h", "30d")),
        (("--overlap", "wait"), ("wait", "--overlap")),
    ],
)
def test_what_is_wrong_is_told_and_nothing_added(
    desk: Path, database: Database, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], facts: tuple[str, ...]
) -> None:
    assert main([*NIGHTLY, *words]) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, *facts) == []
    assert database.sql("SELECT 1 FROM schedules") == []


def test_a_catalog_is_checked_unless_it_is_yet_to_come(
    desk: Path, database: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    write_csv(desk / "shoes.csv", [swap("1", target="gone.png")])
    assert main(NIGHTLY) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "shoes.csv:2", "target", "gone.png") == []
    (desk / "shoes.csv").unlink()
    assert main(NIGHTLY) == ExitCode.USAGE
    assert database.sql("SELECT 1 FROM schedules") == []

    assert main([*NIGHTLY, "--no-check"]) == ExitCode.OK
    assert main(["schedule", "add", " ", "shoes.csv", "--cron", "* * * * *", "--no-check"]) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "name", "1") == []


def test_a_limit_needs_prices(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_accounts(desk / "accounts.toml", {"main": {**ACCOUNT, "prices": {}}})
    assert main([*NIGHTLY, "--max-cost", "5"]) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "--max-cost", "main", "zhiqite.swap") == []


@pytest.mark.parametrize("command", ["show", "history", "pause", "resume", "run", "remove"])
def test_a_misspelled_name(desk: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main(NIGHTLY) == ExitCode.OK
    assert main(["schedule", command, "nightyl"]) == ExitCode.USAGE
    assert unsaid(capsys.readouterr().err, "nightyl", "nightly") == []


def test_a_schedule_in_a_whole_deployment(deployment: Stack, tmp_path: Path) -> None:
    """However many ticks come, a planned time is one run: read, enqueued, paid and written down once."""
    pictures = {"source": str(PORTRAITS / "astronaut.png"), "target": str(PORTRAITS / "grace_hopper.jpg")}
    catalog = write_csv(tmp_path / "scheduled.csv", [{**swap(str(number)), **pictures} for number in range(3)])
    sessions = make_sessions(deployment.engine)
    with sessions.begin() as session:
        service.add(session, Agreement("whole", str(catalog), CronSchedule("0 0 1 1 *")))
        session.connection().exec_driver_sql(
            "UPDATE schedules SET next_at = date_trunc('year', now()), catch_up = 'latest' WHERE name = 'whole'"
        )
    sender = Celery("beats")
    sender.conf.update(
        configuration(Settings(broker_url=deployment.env["RECAST_BROKER_URL"], database_url="postgresql://unused"))
    )

    def done() -> service.Run | None:
        for _ in range(3):
            sender.send_task("tick", ignore_result=True)
        with sessions.begin() as session:
            found = service.history(session, "whole", 5)
        assert len(found) <= 1
        return found[0] if found and found[0].state == "done" else None

    try:
        run = wait_for(done, timeout=60, every=0.3)
        assert run is not None
        assert (run.batch, run.enqueued, run.outcome) == ("whole", {"new": 3}, {"succeeded": 3})
        paid = deployment.sql(
            "SELECT sum(a.cost) AS cost, count(*) AS n FROM attempts a JOIN batches b ON b.id = a.batch_id"
            " WHERE b.name = 'whole'"
        )
        assert [(row.cost, row.n) for row in paid] == [(run.cost, 3)]
        assert run.cost is not None
        assert run.cost > 0
    finally:
        sender.close()
        with sessions.begin() as session:
            service.remove(session, "whole")
