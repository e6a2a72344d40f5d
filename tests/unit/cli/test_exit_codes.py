"""Bad usage and input: exit code 2, a message that says where and what is allowed, and nothing started or enqueued."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from kombu.exceptions import OperationalError as BrokerError
from psycopg.errors import DiskFull, LockNotAvailable, ReadOnlySqlTransaction
from redis.exceptions import RedisError
from sqlalchemy.exc import InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from cli.exit_codes import ExitCode
from cli.failures import explain
from cli.main import main
from devstack.errors import ServerError
from tests.unit.catalog.catalogs import portrait, swap, write_csv
from tests.words import unsaid
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
    assert main(arguments) == ExitCode.USAGE
    out, err = captured.readouterr()
    assert out == ""
    assert "Traceback" not in err
    assert not Path(".recast").exists()
    return err


@pytest.mark.parametrize(
    ("row", "facts"),
    [
        (swap("1", kind="paint"), ("c.csv:2", "kind", "paint", "swap", "generate")),
        (swap("1", target="gone.png"), ("c.csv:2", "target", "gone.png")),
        (swap("1", target="text.png"), ("c.csv:2", "target", "text.png", "text", "JPEG", "PNG", "WebP")),
        (swap("1", target="."), ("c.csv:2", "target", "folder")),
        (swap("1", target="empty.png"), ("c.csv:2", "target", "empty.png", "empty")),
        (portrait("1", operation="qolaba.consistency", options='{"batch": 9}'), ("c.csv:2", "options.batch", "9")),
        (
            portrait("1", operation="qolaba.consistency", options='{"height": 100}'),
            ("c.csv:2", "options.height", "100"),
        ),
        (swap("1", account="nobody"), ("c.csv:2", "account", "nobody", "sandbox-")),
    ],
)
def test_bad_rows(folder: Path, capsys: Captured, row: dict[str, str], facts: tuple[str, ...]) -> None:
    (folder / "text.png").write_text("text")
    (folder / "empty.png").touch()
    told = refused(capsys, "run", str(write_csv(folder / "c.csv", [row])), "--sandbox")
    assert unsaid(told, *facts) == []
    assert unsaid(told.splitlines()[-1], "c.csv", "1") == []


def test_a_missing_column(folder: Path, capsys: Captured) -> None:
    (folder / "c.csv").write_text("kind,source\nswap,a.png\n")
    assert unsaid(refused(capsys, "run", "c.csv", "--sandbox"), "c.csv:1", "key") == []


def test_a_duplicate_key(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1"), swap("1")])
    assert unsaid(refused(capsys, "run", "c.csv", "--sandbox"), "c.csv:3", "key", "1", "2") == []


def test_a_wrong_encoding(folder: Path, capsys: Captured) -> None:
    (folder / "c.csv").write_bytes("key,kind\nGröße,swap\n".encode("latin-1"))
    assert unsaid(refused(capsys, "run", "c.csv", "--sandbox"), "c.csv:2", "UTF-8", "3", "0xf6") == []


def test_no_accounts_file(folder: Path, capsys: Captured) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    assert unsaid(refused(capsys, "run", "c.csv"), "accounts.toml") == []


def test_an_account_without_credentials(folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZHIQITE_KEY_ID", raising=False)
    (folder / "accounts.toml").write_text(ACCOUNTS)
    write_csv(folder / "c.csv", [swap("1", account="zhiqite-main")])
    told = refused(capsys, "run", "c.csv")
    assert unsaid(told, "accounts.zhiqite-main.access_key_id", "ZHIQITE_KEY_ID") == []


def test_local_files_without_a_public_url(folder: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZHIQITE_KEY_ID", "id")
    monkeypatch.setenv("ZHIQITE_KEY_SECRET", "secret")
    (folder / "accounts.toml").write_text(ACCOUNTS)
    write_csv(folder / "c.csv", [swap("1")])
    told = refused(capsys, "run", "c.csv")
    assert unsaid(told, "c.csv:2", "source", "a.png", "zhiqite.swap", "URL") == []
    assert unsaid(told, "RECAST_PUBLIC_URL") == []


@pytest.mark.parametrize("cost", ["much", "-1", "0", "NaN", "Infinity"])
def test_a_limit_that_is_no_money(folder: Path, capsys: Captured, cost: str) -> None:
    write_csv(folder / "c.csv", [swap("1")])
    told = refused(capsys, "run", "c.csv", "--sandbox", "--max-cost", cost)
    assert unsaid(told, "--max-cost", cost) == []


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["fly"], ("fly",)),
        (["run"], ("run",)),
        (["run", "c.csv", "--fast"], ("--fast",)),
        (["jobs", "--state", "tired"], ("tired",)),
        (["status"], (".recast",)),
        (["cancel"], ("--batch", "--all")),
        (["pause", "--batch", "b", "--wait", "soon"], ("soon",)),
        (["jobs", "--older", "old"], ("old",)),
        (["retry", "--all", "--state", "succeeded"], ("succeeded", "failed", "rejected")),
        (["reroute", "--all"], ("--to",)),
        (["set-priority", "--all", "--priority", "101"], ("--priority",)),
        (["reprioritise", "--all", "--priority", "101"], ("--priority",)),
        (["resolve", "--give-up"], ("--batch", "--account")),
        (["accounts", "set", "x", "rate"], ("rate", "SETTING=VALUE", "rate=30/min")),
        (["accounts", "set", "x", "provider=zhiqite"], ("provider", "max_in_flight")),
        (["reconcile", "x.csv", "--account", "x", "--month", "May"], ("May", "2026-01")),
        (["doctor"], (".recast",)),
        (["accounts", "pause", "x", "--for", "soon"], ("--for", "soon")),
        (["worker"], ("RECAST_BROKER_URL",)),
        (["beat"], ("RECAST_BROKER_URL",)),
        (["web"], ("RECAST_DATABASE_URL",)),
    ],
)
def test_bad_usage(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, arguments: list[str], facts: tuple[str, ...]
) -> None:
    settings.cache_clear()
    try:
        assert unsaid(refused(capsys, *arguments), *facts) == []
    finally:
        settings.cache_clear()


def test_a_wrong_setting(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_DATABASE_URL", "postgresql://db/x")
    assert unsaid(refused(capsys, "status"), "RECAST_BROKER_URL") == []


def test_the_sandbox_leads_to_its_own_jobs(folder: Path, capsys: Captured) -> None:
    (folder / ".recast" / "sandbox" / "postgres").mkdir(parents=True)
    assert main(["status"]) == ExitCode.USAGE
    assert "add --sandbox" in capsys.readouterr().err


def test_a_dry_run_checks_and_counts_and_starts_nothing(folder: Path, capsys: Captured) -> None:
    rows = [swap("1", operation="zhiqite.swap"), portrait("2", operation="qolaba.consistency")]
    write_csv(folder / "c.csv", rows)
    assert main(["run", "c.csv", "--sandbox", "--dry-run"]) == ExitCode.OK
    assert unsaid(capsys.readouterr().out, "2") == []
    assert not Path(".recast").exists()


def test_a_database_that_is_down(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_DATABASE_URL", "postgresql://user:hidden@127.0.0.1:1/recast")
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://127.0.0.1:1/0")
    assert main(["status"]) == ExitCode.INFRASTRUCTURE
    told = capsys.readouterr().err
    assert unsaid(told, "database", "127.0.0.1:1") == []
    assert "hidden" not in told


def test_a_server_of_migrations_that_is_down(capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECAST_DATABASE_URL", "postgresql://user:hidden@127.0.0.1:1/recast")
    monkeypatch.setenv("RECAST_MIGRATION_DATABASE_URL", "postgresql://user:hidden@127.0.0.1:2/recast")
    monkeypatch.setenv("RECAST_BROKER_URL", "redis://127.0.0.1:1/0")
    assert main(["db", "upgrade"]) == ExitCode.INFRASTRUCTURE
    err = capsys.readouterr().err
    assert unsaid(err, "127.0.0.1:2", "RECAST_MIGRATION_DATABASE_URL", "refused") == []
    assert not {"127.0.0.1:1", "hidden", "Traceback"}.intersection(err.split())


class _UndefinedError(Exception):
    sqlstate = "42P01"


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (ServerError("PostgreSQL ended"), ("PostgreSQL ended",)),
        (StorageError("/x: cannot write"), ("storage", "/x: cannot write")),
        (BrokerError("refused"), ("broker", "refused")),
        (RedisError("refused"), ("broker", "refused")),
        (OperationalError("SELECT", {}, Exception("gone")), ("database", "gone")),
        (InternalError("INSERT", {}, ReadOnlySqlTransaction("read-only transaction")), ("database", "read-only")),
        (OperationalError("INSERT", {}, LockNotAvailable("lock timeout")), ("database", "lock timeout")),
        (PoolTimeoutError("QueuePool limit of size 12"), ("database", "QueuePool limit")),
        (DiskFull("could not extend file"), ("database", "could not extend file")),
        (OSError(errno.ENOSPC, "No space left on device", "/home/run.json"), ("/home/run.json", "No space left")),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), ("Disk quota exceeded",)),
        (OSError(errno.EFBIG, "File too large"), ("File too large",)),
        (ProgrammingError("SELECT", {}, _UndefinedError("jobs")), ("recast db upgrade",)),
    ],
)
def test_infrastructure_that_is_down_is_code_4(error: Exception, facts: tuple[str, ...]) -> None:
    code, told = explain(error)
    assert (code, unsaid(told, *facts)) == (ExitCode.INFRASTRUCTURE, [])


def test_a_defect_of_ours_is_not_hidden() -> None:
    assert explain(KeyError("x")) == (None, "")
