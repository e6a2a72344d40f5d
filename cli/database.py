"""`recast db`: the schema of the database, and what to do after it was restored from a backup."""

from __future__ import annotations

from typing import Annotated

import typer

import migrations
from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, complain, emit, say, table
from workers.engine.runtime import Runtime
from workers.restore import hold
from workers.restore.hold import WATCH_DAYS, Holding

db = typer.Typer(help="The database's schema, and restoring it.", no_args_is_help=True)


@db.command()
def upgrade(*, sandbox: SandboxOption = False) -> None:
    """Bring the schema to what this version needs; harmless when it is."""
    with looking(sandbox=sandbox) as runtime:
        migrations.upgrade(runtime.engine)
    say("the schema is up to date")


@db.command()
def check(*, sandbox: SandboxOption = False, as_json: JsonOption = False) -> None:
    """Compare the schema with what this version needs."""
    with looking(sandbox=sandbox) as runtime:
        found = migrations.differences(runtime.engine)
    if as_json:
        emit({"ok": not found, "differences": found})
    elif found:
        for difference in found:
            say(difference, style=Style.BAD)
        say("`recast db upgrade` brings it up to date")
    else:
        say("the schema is what this version needs")
    if found:
        raise typer.Exit(Code.INFRASTRUCTURE)


@db.command()
def restored(
    *,
    watch_days: Annotated[
        int, typer.Option(min=0, max=365, help="Days for which jobs that come in are searched for too.")
    ] = WATCH_DAYS,
    over: Annotated[bool, typer.Option("--over", help="Stop searching for jobs that come in.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Although others are connected to the database.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count the jobs, change nothing.")] = False,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run this once after restoring the database from a backup, and before any worker starts.

    It holds all open work, because the provider may have been paid for it after the backup was taken. The workers then
    search for it where a provider's API can be searched by our reference: what is found is polled on, what is not goes
    on. The rest stays held until `recast resolve` says what became of it.
    """
    with looking(sandbox=sandbox) as runtime:
        if over:
            runtime.db(hold.end)
            say("jobs that come in are not searched for any longer")
            return
        others = runtime.db(hold.others_connected)
        if others and not (force or dry_run):
            raise typer.BadParameter(
                f"{others} other connections of Recast to this database are open: stop worker, beat and web first, "
                "since they may be paying twice already (--force: they are none of those)"
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
        _tell(holding, watch_days, dry_run=dry_run)


def _hold(runtime: Runtime, watch_days: int, *, dry_run: bool) -> Holding:
    with runtime.sessions() as session:
        holding = hold.begin(session, runtime.accounts, runtime.settings.max_attempts, watch_days)
        # A dry run does all of it and leaves nothing, so that what it counts is what would happen.
        (session.rollback if dry_run else session.commit)()
    return holding


def _tell(holding: Holding, watch_days: int, *, dry_run: bool) -> None:
    names = sorted({*holding.searched, *holding.asked})
    table(
        ("account", "searched for", "left to a person"),
        [(name, holding.searched[name], holding.asked[name]) for name in names],
        right=("searched for", "left to a person"),
    )
    say(f"{holding.jobs:,} open jobs {'would be' if dry_run else 'are'} held; {holding.polled:,} are polled meanwhile")
    if dry_run:
        return
    complain("spend and budgets stand as in the backup: what was paid since is missing, until it is found again")
    if watch_days:
        complain(f"for {watch_days} days, rows of catalogs that come in are searched for too (`--over` ends it sooner)")
    complain("next: start the workers" + ("; then `recast resolve` lists what a person must say" * bool(holding.asked)))
