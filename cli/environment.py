"""The deployment that a command uses: the configured one, or the embedded stack of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.late import load
from cli.stack import Parts, Stack
from devstack import binaries
from devstack.errors import NotInstalledError
from devstack.ports import LOOPBACK
from recast.hints import advise_sandbox, hint
from workers import open_folders
from workers.config.deployment import Deployment
from workers.config.extras import SANDBOX, missing
from workers.config.settings import Settings, SettingsError, read

SANDBOX_HOME = "sandbox"
#: What a command needs that starts nothing but the servers.
READS = Parts(worker=False, web=False)
#: Settings that the sandbox's stack makes itself, whatever is configured.
OVERRIDDEN = ("DATABASE_URL", "BROKER_URL", "RESULT_URL", "SECRET_KEY", "PUBLIC_URL", "PUBLIC_URL_CHECK")

SandboxOption = Annotated[
    bool, typer.Option("--sandbox", help="Use the local provider sandbox (no keys, no cost, separate data).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def choose(*, sandbox: bool) -> Settings:
    """The settings of a command; with `sandbox`, those of the sandbox's own home, whatever is configured.

    Raises:
        SettingsError: a setting is wrong.
        NotInstalledError: the sandbox lacks something here; without it, every job would be billed and fail.
    """
    advise_sandbox(sandbox=sandbox)
    if sandbox:
        require_sandbox()
    chosen = read()
    open_folders.close_home(chosen.home)
    if not sandbox:
        return chosen
    home = chosen.home.absolute() / SANDBOX_HOME
    for name in OVERRIDDEN:
        os.environ.pop(f"RECAST_{name}", None)
    os.environ["RECAST_HOME"] = str(home)
    os.environ["RECAST_ACCOUNTS_FILE"] = str(home / "accounts.toml")
    os.environ["RECAST_STORAGE_URL"] = str(home / "pictures")
    return read(_env_file=None)


def require_sandbox() -> None:
    """Look for all that the sandbox and its servers need, before anything is made or started.

    Raises:
        NotInstalledError: something is missing.
    """
    if lacking := missing(SANDBOX):
        raise NotInstalledError(f"The sandbox needs modules that are not installed: {lacking}. {binaries.INSTALL_HINT}")
    binaries.require()


def is_external(*, sandbox: bool) -> bool:
    """Whether the database and the broker are configured, so that no embedded servers are needed."""
    return not sandbox and Settings().database_url is not None


def readable(*, sandbox: bool) -> Settings:
    """The settings of a command that works with what has run before.

    Raises:
        SettingsError: no database is configured, and no embedded stack has run here.
    """
    settings = choose(sandbox=sandbox)
    if not is_external(sandbox=sandbox) and not _has_run(settings.home):
        advice = (
            "add --sandbox to see the sandbox's jobs"
            if _has_run(settings.home / SANDBOX_HOME)
            else f"start with {hint('run', 'CATALOG')}"
        )
        raise SettingsError(f"nothing has run in {settings.home} yet, and RECAST_DATABASE_URL is not set; {advice}")
    return settings


@contextmanager
def serving(settings: Settings, parts: Parts, *, sandbox: bool) -> Iterator[tuple[Settings, Stack | None]]:
    """The servers of a deployment, configured or of the embedded stack with `parts`, and the settings to reach them.

    Raises:
        ServerError: the embedded stack did not start.
    """
    if is_external(sandbox=sandbox):
        yield settings, None
        return
    with Stack(settings, parts) as stack:
        if sandbox and not settings.accounts_file.exists():
            # The command that starts the sandbox writes its address; to enqueue, the operations are enough.
            load("cli.sandbox_accounts:write_sandbox_accounts")(settings.accounts_file, f"http://{LOOPBACK}:1")
        yield read(), stack


@contextmanager
def open_database(*, sandbox: bool) -> Iterator[Deployment]:
    """The rows of a deployment to read; of the embedded stack only the servers are started, or joined if they run.

    Raises:
        SettingsError: no database is configured, and no embedded stack has run here.
        ServerError: the embedded servers did not start.
    """
    with (
        serving(readable(sandbox=sandbox), READS, sandbox=sandbox) as (settings, _),
        closing(Deployment(settings)) as deployment,
    ):
        yield deployment


def has_run(settings: Settings, *, sandbox: bool) -> bool:
    """Whether there is a database: a configured one, or that of an embedded stack that has run before."""
    return is_external(sandbox=sandbox) or _has_run(settings.home)


def _has_run(home: Path) -> bool:
    return (home / "postgres").exists()
