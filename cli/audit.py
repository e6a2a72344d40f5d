"""`recast audit`: who did what."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from cli.environment import JsonOption, SandboxOption, open_database
from cli.output import emit, moment, table
from desk import audit


def audited(
    *,
    limit: Annotated[int, typer.Option(min=1, help="Maximum number to list.")] = 50,
    sandbox: SandboxOption = False,
    as_json: JsonOption = False,
) -> None:
    """List who did what, newest first."""
    with open_database(sandbox=sandbox) as deployment:
        entries = deployment.db(audit.latest, limit)
    if as_json:
        emit([asdict(entry) for entry in entries])
        return
    table(
        ("when", "who", "by", "did", "to", "with"),
        [
            (
                moment(entry.at), entry.person, entry.via, entry.action, entry.subject,
                ", ".join(f"{name} {value}" for name, value in entry.detail.items()),
            )
            for entry in entries
        ],
    )  # fmt: skip
