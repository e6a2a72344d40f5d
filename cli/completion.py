"""Completion of the names of batches and accounts in a shell: silent, quick, and nothing is started for it."""

from __future__ import annotations

import os
import threading
import tomllib
from collections.abc import Callable, Sequence
from contextlib import closing, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import typer

from cli.late import load
from recast.values import written

MOST = 50  # names: a shell that has more asks whether to show them
SECONDS = 1.5  # for a database to answer; a person who has pressed Tab waits no longer


def batches(context: typer.Context, incomplete: str) -> list[str]:
    """The latest batches whose names begin so."""
    return _in_time(lambda: _batches(_settings(context), incomplete))


def accounts(context: typer.Context, incomplete: str) -> list[str]:
    """The accounts of the accounts file whose names begin so."""
    return _in_time(lambda: _accounts(_settings(context), incomplete))


def _settings(context: typer.Context) -> Any:
    read = load("workers.config.settings:read")
    settings = read()
    if not context.params.get("sandbox"):
        return settings
    home = settings.home.absolute() / load("cli.environment:SANDBOX_HOME")
    # No database is meant but that of a stack that runs there.
    return read(home=home, database_url=None, accounts_file=home / "accounts.toml")


def _batches(settings: Any, incomplete: str) -> list[str]:
    if settings.database_url is None:
        return []
    with closing(load("models.transactions:Database")(settings.database_url, connections=1)) as database:
        return list(database.db(load("reports.batch:named"), incomplete, MOST))


def _accounts(settings: Any, incomplete: str) -> list[str]:
    tables = tomllib.loads(written(settings.accounts_file.read_bytes())).get("accounts", {})
    return [name for name in tables if name.startswith(incomplete)][:MOST]


def _in_time(work: Callable[[], Sequence[str]]) -> list[str]:
    """What `work` finds within `SECONDS`; nothing if it fails, because a shell shows what is printed as names."""
    found: list[str] = []

    def run() -> None:
        try:
            found.extend(work())
        except Exception:  # noqa: BLE001 - completion is a help, and its errors are not shown
            return

    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(SECONDS)
    return list(found)
