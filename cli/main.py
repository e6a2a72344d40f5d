"""The `recast` command: it runs one command of the tree and turns exceptions into messages and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Annotated

import typer

from cli.exit_codes import ExitCode
from cli.failures import explain
from cli.late import if_loaded, load
from cli.tree import Tree
from workers import private

TERMINATED = 128 + signal.SIGTERM


def _print_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"recast {load('importlib.metadata:version')('recast-server')}\n")
        raise typer.Exit


def _begin(
    _: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_print_version, help="Show the version and exit."),
    ] = False,
) -> None:
    """What is common to all commands: nothing."""


app = typer.Typer(
    name="recast",
    cls=Tree,
    callback=_begin,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Bulk face swaps and portraits through image APIs that are slow, rate-limited and billed per call.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    signal.signal(signal.SIGTERM, _terminate)
    private.begin()
    # They are looked for in every package that is installed, and none is ours.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    try:
        return app(args=arguments, standalone_mode=False) or ExitCode.OK
    except (KeyboardInterrupt, typer.Abort):
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader of our output (`| head`) has ended; without this the interpreter prints an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.OK
    except Exception as error:
        code, message = explain(error)
        if code is None:
            raise
        _report(message)
        return code


def _report(message: str) -> None:
    """Report why a command failed: in the log of a service, on standard error for any other command."""
    if (configured := if_loaded("workers.observability.logs:are_configured")) is not None and configured():
        load("workers.observability.logs:log").critical("not_started", error=message)
        return
    with suppress(OSError):  # standard error may be a file on a full disk: the exit code says it too
        load("cli.output:complain")(message, style=load("cli.output:Style").BAD)


def _terminate(_: int, __: FrameType | None) -> None:
    """Exit through exceptions, so that the embedded stack is stopped."""
    raise SystemExit(TERMINATED)
