"""The tree of commands with every command loaded, for tests that walk it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from cli.main import app


def whole() -> Any:
    """The group of all commands."""
    made: Any = typer.main.get_command(app)
    for name in made.commands:
        made.loaded(name)
    return made


def every(command: Any = None, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every group and command with its path."""
    command = command or whole()
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from every(inner, (*path, name))
