"""`recast db`: the database's schema, and the steps after a restore from a backup."""

from __future__ import annotations

from contextlib import closing
from typing import Annotated

import typer

import migrations
from cli import addresses
from cli.deployment import open_deployment
from cli.environment import JsonOption, SandboxOption
from cli.exit_codes import ExitCode
from cli.failures import database_away
from cli.output import Style, answer, complain, emit, say, table
from models.availability import is_unavailable
from models.transactions import Database
from recast.hints import hint
from workers.engine.runtime import Runtime
from workers.messaging.claim import claim
from workers.restore import hold
from workers.restore.hold import WATCH_DAYS, Holding

db = typer.Typer(help="Upgrade or check the schema; continue after a restore.", no_args_is_help=True)


@db.command()
def upgrade(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Upgrade the schema to this version. Does nothing if it is up to date."""
    with (
        open_deployment(sandbox=sandbox) as runtime,
        closing(Database(str(runtime.settings.migrating_url), connections=2)) as database,
    ):
        try:
            migrations.upgrade(database.engine)
        except Exception as error:
            if runtime.settings.migration_database_url is None or not is_unavailable(error):
                raise
            raise migrations.MigrationServerError(
                database_away(error, addresses.migrations(), "RECAST_MIGRATION_DATABASE_URL")
            ) from error
        found = migrations.differences(database.engine)
    answer("the schema is up to date", {"ok": not found, "differences": found}, as_json=as_json)


@db.command()
def check(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Compare the schema with the one that this version needs."""
    with open_deployment(sandbox=sandbox) as runtime:
        found = migrations.differences(runtime.engine)
    if as_json:
        emit({"ok": not found, "differences": found})
    elif found:
        for difference in found:
            say(difference, style=Style.BAD)
        say(f"next: run {hint('db upgrade')}")
    else:
        say("the schema is up to date")
    if found:
        raise typer.Exit(ExitCode.INFRASTRUCTURE)


@db.command("take-broker")
def take_broker(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Take the broker of a deployment that is gone for good.

    The messages in the broker stay. Those of jobs that this database does not know do nothing.
    """
    with open_deployment(sandbox=sandbox) as runtime:
        claim(runtime, take=True)
    answer("the broker belongs to this deployment now", {"taken": True}, as_json=as_json)


@db.command()
def restored(
    *,
    watch_days: Annotated[
        int, typer.Option(min=0, max=365, help="Days in which new jobs are searched for at the provider, too.")
    ] = WATCH_DAYS,
    over: Annotated[bool, typer.Option("--over", help="Stop searching for new jobs.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Continue although other connections to the database are open.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the jobs; change nothing.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Hold all open jobs after a restore of the database. Run this once, before any worker starts.

    A provider may have accepted and billed these jobs after the backup was taken. Workers search for each job where the
    provider's API can be searched by our client reference: jobs that are found are polled, jobs that are not found are
    queued again. The others wait for a decision (held): `recast resolve`.
    """
    with open_deployment(sandbox=sandbox) as runtime:
        if over:
            runtime.db(hold.end)
            say("new jobs are no longer searched for")
            return
        others = runtime.db(hold.others_connected)
        if others and not (force or dry_run):
            raise typer.BadParameter(
                f"{others} other connections of Recast to this database are open; stop worker, beat and web first, "
                "because they may pay twice; add --force if the connections are not theirs"
            )
        holding = _hold(runtime, watch_days, dry_run=dry_run)
    if as_json:
        emit(
            {
                "jobs": holding.jobs, "searched": dict(holding.searched), "asked": dict(holding.asked),
                "polled": holding.polled, "dry_run": dry_run,
            }
        )  # fmt: skip
    else:
        _print(holding, watch_days, dry_run=dry_run)


def _hold(runtime: Runtime, watch_days: int, *, dry_run: bool) -> Holding:
    with runtime.sessions() as session:
        holding = hold.begin(session, runtime.accounts, runtime.settings.max_attempts, watch_days)
        # A dry run does the same work and rolls it back, so that its counts are exact.
        (session.rollback if dry_run else session.commit)()
    return holding


def _print(holding: Holding, watch_days: int, *, dry_run: bool) -> None:
    names = sorted({*holding.searched, *holding.asked})
    table(
        ("account", "searched for", "waiting for a decision"),
        [(name, holding.searched[name], holding.asked[name]) for name in names],
        right=("searched for", "waiting for a decision"),
    )
    say(f"{holding.jobs:,} open jobs {'would be' if dry_run else 'are'} held, {holding.polled:,} of them polled")
    if dry_run:
        return
    complain("spend and budgets are those of the backup; later payments are missing until their jobs are found")
    if watch_days:
        over = hint("db restored", over=True)
        complain(f"for {watch_days} days, new rows of catalogs are searched for, too ({over} ends this)")
    complain("next: start the workers" + (f"; then decide with {hint('resolve')}" if holding.asked else ""))
