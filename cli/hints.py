"""The command that is running, written again with the same options, for hints on how to continue.

It is written from what the command line was parsed into, so it parses into the same values again. `--yes` is never
repeated: a person who continues is asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import typer

from recast.hints import line

NEVER = frozenset({"yes"})


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command with the values of its parameters by name, as they were typed."""

    context: typer.Context

    def again(self, **changes: object) -> str:
        """The same command in backticks, with other values for the parameters in `changes`."""
        words: list[object] = []
        options: dict[str, object] = {}
        for parameter in self.context.command.params:
            name = str(parameter.name)
            value = _typed(changes.get(name, self.context.params.get(name)))
            if name in NEVER or name not in self.context.params or value == _typed(_default(parameter, self.context)):
                continue
            if parameter.param_type_name == "argument":
                words += value if isinstance(value, list) else [value]
            elif value is False and parameter.secondary_opts:
                options[parameter.secondary_opts[0]] = True
            else:
                options[parameter.opts[0]] = value
        return f"`{line(_path(self.context), words, options)}`"

    @property
    def given(self) -> Mapping[str, Any]:
        """The values by the names of the parameters."""
        return self.context.params


def _path(context: typer.Context) -> str:
    """The words of the command, without the program's own name."""
    names: list[str] = []
    at: Any = context
    while at.parent is not None:
        names.insert(0, str(at.info_name))
        at = at.parent
    return " ".join(names)


def _default(parameter: Any, context: typer.Context) -> object:
    return parameter.get_default(context)


def _typed(value: object) -> object:
    """A value as it is typed; a list that is empty is not given."""
    if isinstance(value, list | tuple):
        return [_typed(each) for each in value] or None
    return value.value if isinstance(value, Enum) else value
