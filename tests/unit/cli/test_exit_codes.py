"""Bad usage and input: exit code 2, a message that says where and what is allowed, and nothing started or enqueued."""

from __future__ import annotations

from pathlib import Path

import pytest
from kombu.exceptions import OperationalError as BrokerError
from redis.exceptions import RedisError
from sqlalchemy.exc import OperationalError, ProgrammingError

from cli.main import explain, main
from cli.output import Code
from devstack.errors import ServerError
from tests.unit.catalog.catalogs import portrait, swap, write_csv
from workers.config.settings import settings
from workers.images.storage import StorageError

Captured = pytest.CaptureFixture[str]

ACCOUNTS = """
[accounts.zhiqite-main]
provider = "zhiqite"
access_key_id = "env:ZHIQITE_KEY_ID"
access_key_secret = "env:ZHIQITE_KEY_SECRET"
"""


pytestmark = pytest.mark.usefixtures("folder")


def refused(captured: Captured, *arguments: str) -> str:
    assert main(arguments) == Code.USAGE
    out, err = captured.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert not Path(".recast").exists()
    return err


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (swap("1", kind="paint"), "c.csv:2: kind: 'paint' is unknown; allowed: swap, generate"),
        (swap("1", target="gone.png"), "c.csv:2: target: 'gone.png': there is no such file"),
        (swap("1", target="text.png"), "c.csv:2: target: 'text.png': this is text; JPEG, PNG and WebP are taken"),
        (swap("1", target="."), "c.csv:2: target: '.': this is a folder, not a file"),
        (swap("1", target="empty.png"), "c.csv:2: target: 'empty.png': the file is empty"),
        (portrait("1", operation="qolaba.consistency", options='{"batch": 9}'), "c.csv:2: options.batch: 9 is not"),
        (portrait("1", operation="qolaba.consistency", options='{"height": 100}'), "c.csv:2: options.height: 100 is"),
        (swap("1", account="nobody"), "c.csv:2: account: 'nobody' is unknown; allowed: sandbox-"),
    ],
)
def test_bad_rows(folder: Path, capsys: Captured, row: dict[str, str], message: str) -> None:
    (folder / "text.png").write_text("text")
    (folder / "empty.png").touch()
    told = refused(capsys, "run", str(write_csv(folder / "c.csv", [row])), "--sandbox")
    assert message in told
    assert told.endswith("c.csv: 1 mistake; nothing was enqueued\n")


def test_a_missing_column(folder: Path, capsys: Captured) -> None:
    (folder / "c.csv").write_text("kind,source\nswap,a.png\n")
    assert "c.csv:1: missing in the header: key" in refused(capsys, "run", "c.csv", "--sandbox")


def test_a_duplicate_key(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1"), swap("1")])
    assert "c.csv:3: key: '1' is the key of line 2 already" in refused(capsys, "run", "c.csv", "--sandbox")


def test_a_wrong_encoding(folder: Path, capsys: Captured) -> None:
    (folder / "c.csv").write_bytes("key,kind\nGröße,swap\n".encode("latin-1"))
    assert "c.csv:2: is not UTF-8 (byte 3 of the line is 0xf6)" in refused(capsys, "run", "c.csv", "--sandbox")


def test_no_accounts_file(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    assert "accounts.toml: there is no accounts file" in refused(capsys, "run", "c.csv")


def test_an_account_without_credentials(folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZHIQITE_KEY_ID", raising=False)
    (folder / "accounts.toml").write_text(ACCOUNTS)
    write_csv(folder / "c.csv", [swap("1", account="zhiqite-main")])
    told = refused(capsys, "run", "c.csv")
    assert "accounts.zhiqite-main.access_key_id: the environment variable ZHIQITE_KEY_ID is not set" in told


def test_local_files_without_a_public_url(folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIQITE_KEY_ID", "id")
    monkeypatch.setenv("ZHIQITE_KEY_SECRET", "secret")
    (folder / "accounts.toml").write_text(ACCOUNTS)
    write_csv(folder / "c.csv", [swap("1")])
    told = refused(capsys, "run", "c.csv")
    assert "c.csv:2: source: 'a.png' is a local file and zhiqite.swap fetches its pictures by URL" in told
    assert "set RECAST_PUBLIC_URL" in told


@pytest.mark.parametrize("cost", ["much", "-1", "0", "NaN", "Infinity"])
def test_a_limit_that_is_no_money(folder: Path, capsys: Captured, cost: str) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    told = refused(capsys, "run", "c.csv", "--sandbox", "--max-cost", cost)
    assert "is not a valid amount" in told


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["run"], "Missing argument"),
        (["run", "c.csv", "--fast"], "No such option"),
        (["jobs", "--state", "tired"], "tired"),
        (["status"], "nothing has run in .recast yet"),
        (["cancel"], "name jobs, or say which by --batch and the like, or --all"),
        (["pause", "--batch", "b", "--wait", "soon"], "'soon' is not a duration"),
        (["jobs", "--older", "old"], "'old' is not a duration"),
        (["retry", "--all", "--state", "succeeded"], "succeeded jobs cannot be retried; allowed: failed, rej"),
        (["reroute", "--all"], "Missing option '--to'"),
        (["reprioritise", "--all", "--priority", "101"], "Invalid value for '--priority'"),
        (["resolve", "--give-up"], "a verdict is never for everything"),
        (["accounts", "set", "x", "rate"], "'rate' is no SETTING=VALUE, such as rate=30/min"),
        (["accounts", "set", "x", "provider=zhiqite"], "provider: cannot be changed live; allowed: max_in_flight"),
        (["reconcile", "x.csv", "--account", "x", "--month", "May"], "'May' is not a valid month; use 2026-01"),
        (["doctor"], "nothing has run in .recast yet"),
        (["accounts", "close", "x", "--for", "soon"], "'soon' is not a duration"),
        (["worker"], "RECAST_BROKER_URL is not set and no embedded stack runs"),
        (["beat"], "RECAST_BROKER_URL is not set and no embedded stack runs"),
        (["web"], "RECAST_DATABASE_URL is not set and no embedded stack runs"),
    ],
)
def test_bad_usage(capsys: Captured, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str) -> None:
    settings.cache_clear()
    try:
        assert message in refused(capsys, *arguments)
    finally:
        settings.cache_clear()


def test_a_wrong_setting(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_DATABASE_URL", "postgresql://db/x")
    assert "RECAST_BROKER_URL is not set although its partner is" in refused(capsys, "status")


def test_the_sandbox_leads_to_its_own_jobs(folder: Path, capsys: Captured) -> None:
    (folder / ".recast" / "sandbox" / "postgres").mkdir(parents=True)
    assert main(["status"]) == Code.USAGE
    assert "add --sandbox" in capsys.readouterr().err


def test_a_dry_run_checks_and_counts_and_starts_nothing(folder: Path, capsys: Captured) -> None:
    rows = [swap("1", operation="zhiqite.swap"), portrait("2", operation="qolaba.consistency")]
    write_csv(folder / "c.csv", rows)
    assert main(["run", "c.csv", "--sandbox", "--dry-run"]) == Code.OK
    assert "c: all 2 rows are in order; nothing was enqueued" in capsys.readouterr().out
    assert not Path(".recast").exists()


def test_a_database_that_is_down(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_DATABASE_URL", "postgresql://user:hidden@127.0.0.1:1/recast")
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://127.0.0.1:1/0")
    assert main(["status"]) == Code.INFRASTRUCTURE
    told = capsys.readouterr().err
    assert told.startswith("the database at 127.0.0.1:1 does not answer: ")
    assert "hidden" not in told


class _UndefinedError(Exception):
    sqlstate = "42P01"


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (ServerError("PostgreSQL ended"), "PostgreSQL ended"),
        (StorageError("/x: cannot write"), "the storage cannot be used: /x: cannot write"),
        (BrokerError("refused"), "the broker does not answer: refused"),
        (RedisError("refused"), "the broker does not answer: refused"),
        (OperationalError("SELECT", {}, Exception("gone")), "the database does not answer: gone"),
        (ProgrammingError("SELECT", {}, _UndefinedError("jobs")), "run `recast db upgrade`"),
    ],
)
def test_infrastructure_that_is_down_is_code_4(error: Exception, message: str) -> None:
    code, told = explain(error)
    assert (code, message in told) == (Code.INFRASTRUCTURE, True), told


def test_a_defect_of_ours_is_not_hidden() -> None:
    assert explain(KeyError("x")) == (None, "")
