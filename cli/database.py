"""`recast db`: the schema of the database."""

from __future__ import annotations

import typer

import migrations
from cli.environment import JsonOption, SandboxOption, looking
from cli.output import Code, Style, emit, say

db = typer.Typer(help="The database's schema.", no_args_is_help=True)


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
