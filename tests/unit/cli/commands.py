"""The tree of commands with every command loaded, for tests that walk it."""

from __future__ import annotations

from typing import Any

import typer

from cli.main import app


def whole() -> Any:
    """The group of all commands."""
    made: Any = typer.main.get_command(app)
    for name in made.commands:
        made.loaded(name)
    return made
