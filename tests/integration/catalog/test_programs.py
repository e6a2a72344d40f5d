"""`recast.run` in programs of their own: in any folder, beside modules that are called like ours."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recast.runs import SERVER_DISTRIBUTION, SERVER_PACKAGES
from tests.stack import ROOT, write_accounts
from tests.unit.catalog.catalogs import picture, swap
from tests.unit.test_layers import project, room_of

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PROGRAM = """
import json, recast
from recast import run
try:
    batch = run([ROW], name="spring", max_cost="1.00")
    print(json.dumps([batch.new, str(batch.cost), batch.counts()["queued"], batch.wait.__name__]))
except recast.RecastError as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""
ACCOUNT = {
    "provider": "zhiqite", "base_url": "http://127.0.0.1:9", "access_key_id": "id", "access_key_secret": "secret",
}  # fmt: skip
OURS = ("models", "tasks", "catalog", "workers", "web", "cli", "reports", "providers", "faces", "desk")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A producer's folder, full of modules that are called like ours."""
    folder = tmp_path / "shop"
    folder.mkdir()
    for name in OURS:
        (folder / f"{name}.py").write_text("raise SystemExit('the shop is not ours')\n")
    picture(folder / "a.png")
    picture(folder / "b.png")
    return folder


@pytest.fixture
def home(database: Database, tmp_path: Path) -> Path:
    """The home of a running `recast up`, as others find it."""
    home = tmp_path / "home"
    home.mkdir()
    write_accounts(tmp_path / "accounts.toml", {"main": {**ACCOUNT, "prices": {"swap": "0.02 USD"}}})
    stack = {
        "database_url": database.url, "broker_url": "memory://", "result_url": "cache+memory://",
        "secret_key": "k" * 32, "public_url": "https://shop.example", "accounts_file": str(tmp_path / "accounts.toml"),
        "storage_url": str(home / "pictures"), "currency": "USD", "postgres_pid": 1,
    }  # fmt: skip
    (home / "stack.json").write_text(json.dumps(stack))
    return home


def answer(folder: Path, *options: str, path: str = str(ROOT), before: str = "", **env: str) -> list[object]:
    """What a program in `folder` prints."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("RECAST_", "PYTHON"))}
    script = before + PROGRAM.replace("[ROW]", repr([swap("1", operation="zhiqite.swap")]))
    done = subprocess.run(
        [sys.executable, "-W", "error", *options, "-c", script],
        cwd=folder, env={**clean, "PYTHONPATH": path, **env}, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_the_home_of_a_running_stack_is_all_that_a_program_needs(database: Database, shop: Path, home: Path) -> None:
    assert answer(shop, "-P", RECAST_HOME=str(home)) == [1, "0.02 USD", 1, "wait"]
    assert database.one("SELECT target FROM jobs") == str(shop / "b.png")
    assert not (shop / ".recast").exists()


@pytest.mark.parametrize("name", SERVER_PACKAGES)
def test_a_module_that_hides_one_of_ours_is_named(shop: Path, home: Path, name: str) -> None:
    for other in OURS:
        if other != name:
            (shop / f"{other}.py").unlink()
    kind, told = answer(shop, RECAST_HOME=str(home))
    assert kind == "ServerPackagesError"
    assert str(shop / f"{name}.py") in str(told)
    assert repr(name) in str(told)


def test_without_the_servers_distribution_one_error_names_it(tmp_path: Path) -> None:
    alone = tmp_path / "site"
    shutil.copytree(ROOT / "recast", alone / "recast")
    # This environment has both distributions, the source tree in its search path.
    hidden = "import os, sys; sys.path[:] = [place for place in sys.path if not os.path.isdir(f'{place}/catalog')]"
    kind, told = answer(tmp_path, path=str(alone), before=hidden)
    assert kind == "ServerPackagesError"
    assert f"pip install {SERVER_DISTRIBUTION}" in str(told)


def test_without_a_deployment_one_error_names_the_settings(tmp_path: Path) -> None:
    kind, told = answer(tmp_path)
    assert kind == "RecastError"
    assert "RECAST_DATABASE_URL" in str(told)


def test_the_packages_that_are_looked_for_are_those_that_are_loaded() -> None:
    graph, seen, left = project(), set[str](), ["catalog.runs", "reports.progress", "desk.programs"]
    while left:
        module = left.pop()
        if module not in seen:
            seen.add(module)
            left += graph[module]
    assert {room_of(module).partition(".")[0] for module in seen} == {"recast", *SERVER_PACKAGES}
