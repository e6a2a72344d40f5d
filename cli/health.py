"""`recast health`: whether a worker or beat of this machine is well.

It is asked every few seconds, so it loads little.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from cli.exit_codes import ExitCode
from recast.settings import home
from workers.heartbeats import file_of, judge


class Kind(StrEnum):
    """The processes that write a heartbeat."""

    WORKER = "worker"
    BEAT = "beat"


#: The names of processes that were given none.
DEFAULT_NAMES = {Kind.WORKER: "recast", Kind.BEAT: "beat"}


def health(
    kind: Annotated[Kind, typer.Argument(help="Process to check.")] = Kind.WORKER,
    name: Annotated[str | None, typer.Option(help="NAME or NAME@HOST, if the process has another name.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check a worker or beat of this machine.

    The command reads the heartbeat that the process writes after real work.
    """
    called = name or DEFAULT_NAMES[kind]
    verdict = judge(file_of(home(), called))
    if as_json:
        typer.echo(json.dumps({"kind": kind, "name": called, **verdict.document()}, indent=2, ensure_ascii=False))
    elif verdict.healthy:
        parts = ", ".join(verdict.parts)
        typer.secho(f"{kind} {called} is healthy: {parts} answered {verdict.age:.0f} s ago", fg="green")
    else:
        for reason in verdict.reasons:
            typer.secho(f"{kind} {called}: {reason}", fg="red", err=True)
    raise typer.Exit(ExitCode.OK if verdict.healthy else ExitCode.INFRASTRUCTURE)
