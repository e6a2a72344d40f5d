"""The deployment that a command uses: the configured one, or the embedded stack of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.stack import Parts, Stack, sandbox_tables, write_sandbox_accounts
from devstack import binaries
from devstack.errors import NotInstalledError
from devstack.ports import LOOPBACK
from recast.hints import advise_sandbox, hint
from workers import private
from workers.config.accounts import Account, load, parse
from workers.config.extras import SANDBOX, missing
from workers.config.settings import Settings, SettingsError, read
from workers.engine.runtime import Runtime
from workers.images.roots import Roots
from workers.images.storage import Storage
from workers.jobs.routing import Reach
from workers.messaging.app import app
from workers.messaging.claim import claim

SANDBOX_HOME = "sandbox"
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
    private.close(chosen.home)
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


def accounts_of(settings: Settings, *, sandbox: bool) -> Mapping[str, Account]:
    """The accounts that a command's jobs can go to, before anything is started.

    Raises:
        AccountsError: the accounts file is missing or wrong.
    """
    if not sandbox:
        return load(settings.accounts_file)
    # The operations of an account do not depend on the sandbox's address.
    return {name: parse(name, table) for name, table in sandbox_tables(f"http://{LOOPBACK}").items()}


def reach_of(settings: Settings, *, sandbox: bool) -> Reach:
    """How providers can fetch local pictures; the sandbox fetches them from `web` on this machine."""
    roots = Roots.of(settings)
    return Reach(sandbox or bool(settings.public_url), Storage(settings.storage).can_sign, roots)


@contextmanager
def running_deployment(
    settings: Settings, parts: Parts, *, sandbox: bool, sends: bool = True
) -> Iterator[tuple[Runtime, Stack | None]]:
    """A deployment that processes jobs: the configured one, or the embedded stack with `parts`.

    With `sends`, the broker is checked first, so that nothing is stored while it cannot be reached.

    Raises:
        ServerError: the embedded stack did not start.
        kombu.exceptions.OperationalError: the configured broker does not answer.
    """
    if is_external(sandbox=sandbox):
        if sends:
            # Otherwise jobs would wait for the next sweep, without any message.
            with app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1)
        with _running(settings) as runtime:
            if sends:
                claim(runtime)
            yield runtime, None
        return
    with Stack(settings, parts) as stack:
        if sandbox and not settings.accounts_file.exists():
            # The command that starts the sandbox writes its address; to enqueue, the operations are enough.
            write_sandbox_accounts(settings.accounts_file, f"http://{LOOPBACK}:1")
        with _running(read()) as runtime:
            yield runtime, stack


@contextmanager
def open_deployment(*, sandbox: bool, with_sandbox: bool = False) -> Iterator[Runtime]:
    """A deployment to read and change; of the embedded stack only the servers are started, or joined if they run.

    With `with_sandbox`, the sandbox's providers answer too.

    Raises:
        SettingsError: no database is configured, and no embedded stack has run here.
        ServerError: the embedded servers did not start.
    """
    settings = choose(sandbox=sandbox)
    if not is_external(sandbox=sandbox) and not _has_run(settings.home):
        advice = (
            "add --sandbox to see the sandbox's jobs"
            if _has_run(settings.home / SANDBOX_HOME)
            else f"start with {hint('run', 'CATALOG')}"
        )
        raise SettingsError(f"nothing has run in {settings.home} yet, and RECAST_DATABASE_URL is not set; {advice}")
    # A sandbox continues the jobs that it had accepted, and fetches their pictures from `web`.
    answering = sandbox and with_sandbox
    parts = Parts(worker=False, web=answering, sandbox=answering)
    with running_deployment(settings, parts, sandbox=sandbox, sends=False) as (runtime, _):
        yield runtime


def has_run(settings: Settings, *, sandbox: bool) -> bool:
    """Whether there is a database: a configured one, or that of an embedded stack that has run before."""
    return is_external(sandbox=sandbox) or _has_run(settings.home)


def _has_run(home: Path) -> bool:
    return (home / "postgres").exists()


@contextmanager
def _running(settings: Settings) -> Iterator[Runtime]:
    runtime = Runtime(settings)
    try:
        yield runtime
    finally:
        runtime.close()
