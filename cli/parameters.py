"""Command-line parameters shared by several commands, declared once and passed to each as one value."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")
R = TypeVar("R")

#: By name: the annotation that typer reads, and the default.
Parameters = Mapping[str, tuple[Any, Any]]


def shared(
    parameters: Parameters, make: Callable[[dict[str, Any]], T]
) -> Callable[[Callable[..., R]], Callable[..., R]]:
    """Add `parameters` after a command's own; its first argument becomes what `make` builds from their values."""

    def wrap(command: Callable[..., R]) -> Callable[..., R]:
        @wraps(command)
        def run(**given: Any) -> R:
            return command(make({name: given.pop(name) for name in parameters}), **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        added = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for name, (annotation, default) in parameters.items()
        ]
        everything = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in [*own, *added]]
        # What typer reads the options from.
        run.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
        return run

    return wrap
