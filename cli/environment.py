"""What a command works with: the deployment that the settings name, or the embedded stack of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cli.stack import Parts, Stack, sandbox_tables, write_sandbox_accounts
from devstack.ports import LOOPBACK
from workers.config.accounts import Account, load, parse
from workers.config.settings import Settings, SettingsError, read
from workers.engine.runtime import Runtime
from workers.images.storage import Storage
from workers.jobs.routing import Reach
from workers.messaging.app import app

SANDBOX_HOME = "sandbox"
#: What the sandbox's stack decides itself, whatever is configured.
REAL = ("DATABASE_URL", "BROKER_URL", "RESULT_URL", "SECRET_KEY", "PUBLIC_URL")

SandboxOption = Annotated[
    bool, typer.Option("--sandbox", help="Use the sandbox: providers made of paper, in a home of their own.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]


def choose(*, sandbox: bool) -> Settings:
    """The settings of a command; with `sandbox` those of the sandbox's own home, whatever else is configured.

    Raises:
        SettingsError: a setting is wrong.
    """
    if not sandbox:
        return read()
    home = read().home.absolute() / SANDBOX_HOME
    for name in REAL:
        os.environ.pop(f"RECAST_{name}", None)
    os.environ["RECAST_HOME"] = str(home)
    os.environ["RECAST_ACCOUNTS_FILE"] = str(home / "accounts.toml")
    os.environ["RECAST_STORAGE_URL"] = str(home / "pictures")
    return read(_env_file=None)


def is_external(*, sandbox: bool) -> bool:
    """Whether the database and the broker are configured, so that no embedded servers are meant."""
    return not sandbox and Settings().database_url is not None


def accounts_of(settings: Settings, *, sandbox: bool) -> Mapping[str, Account]:
    """The accounts that a command's jobs can go to, known before anything is started.

    Raises:
        AccountsError: the accounts file is missing or wrong.
    """
    if not sandbox:
        return load(settings.accounts_file)
    # What an account can do does not depend on where the sandbox will listen.
    return {name: parse(name, table) for name, table in sandbox_tables(f"http://{LOOPBACK}").items()}


def reach_of(settings: Settings, *, sandbox: bool) -> Reach:
    """How providers can fetch local pictures: the sandbox through a `web` process on this machine."""
    return Reach(public_url=sandbox or bool(settings.public_url), presigned=Storage(settings.storage).can_sign)


@contextmanager
def working(
    settings: Settings, parts: Parts, *, sandbox: bool, sends: bool = True
) -> Iterator[tuple[Runtime, Stack | None]]:
    """A deployment in which jobs get done: the configured one as it is, or the embedded stack with `parts`.

    `sends` says that messages will be sent, so that a broker which is down is noticed before anything is stored.

    Raises:
        ServerError: the embedded stack did not start.
        kombu.exceptions.OperationalError: the configured broker does not answer.
    """
    if is_external(sandbox=sandbox):
        if sends:
            # Without it the jobs would wait for the next sweep, and nobody would say so.
            with app.connection_for_write() as connection:
                connection.ensure_connection(max_retries=1)
        with _running(settings) as runtime:
            yield runtime, None
        return
    with Stack(settings, parts) as stack:
        if sandbox and not settings.accounts_file.exists():
            # Whoever starts the sandbox writes where it listens; to enqueue, it is enough to know what it can do.
            write_sandbox_accounts(settings.accounts_file, f"http://{LOOPBACK}:1")
        with _running(read()) as runtime:
            yield runtime, stack


@contextmanager
def looking(*, sandbox: bool, with_sandbox: bool = False) -> Iterator[Runtime]:
    """A deployment to look at; of the embedded stack only the servers are started, and joined where they run.

    `with_sandbox` has the sandbox's providers answer too.

    Raises:
        SettingsError: nothing is configured and nothing ever ran here.
        ServerError: the embedded servers did not start.
    """
    settings = choose(sandbox=sandbox)
    if not is_external(sandbox=sandbox) and not _has_run(settings.home):
        advice = (
            "add --sandbox to look at the sandbox's jobs"
            if _has_run(settings.home / SANDBOX_HOME)
            else ("begin with `recast run`")
        )
        raise SettingsError(f"nothing has run in {settings.home} yet, and RECAST_DATABASE_URL is not set; {advice}")
    # A sandbox takes up what it had accepted before, for which it fetches pictures from `web`.
    answering = sandbox and with_sandbox
    parts = Parts(worker=False, web=answering, sandbox=answering)
    with working(settings, parts, sandbox=sandbox, sends=False) as (runtime, _):
        yield runtime


def has_run(settings: Settings, *, sandbox: bool) -> bool:
    """Whether there is a database to look into: a configured one, or that of an embedded stack that ran before."""
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
