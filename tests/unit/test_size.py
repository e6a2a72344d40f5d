"""Modules and functions are short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.test_layers import modules, name_of

MODULE_LINES = 350
FUNCTION_LINES = 40
#: A command's parameters and their help are most of it.
COMMAND_LINES = 60


def functions(tree: ast.AST, place: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        inner = (
            f"{place}.{node.name}" if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else place
        )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner, node
        yield from functions(node, inner)


def too_long(source: str, module: str) -> dict[str, int]:
    """What is longer than allowed, in lines. A function's decorators are not counted, its docstring is."""
    lines = source.count("\n")
    found = {module: lines} if lines > MODULE_LINES else {}
    allowed = COMMAND_LINES if module.startswith("cli.") else FUNCTION_LINES
    for place, node in functions(ast.parse(source), module):
        length = (node.end_lineno or node.lineno) - node.lineno + 1
        if length > allowed:
            found[place] = length
    return found


def test_modules_and_functions_are_short() -> None:
    found: dict[str, int] = {}
    for path in modules():
        if "versions" not in path.parts:  # migrations are not changed any more
            found |= too_long(path.read_text(), name_of(path))
    assert found == {}


@pytest.mark.parametrize(
    ("module", "source", "place"),
    [
        ("workers.planted", "x = 1\n" * 351, "workers.planted"),
        ("workers.planted", "def f():\n" + "    x = 1\n" * 40, "workers.planted.f"),
        ("cli.planted", "class C:\n    async def f(self):\n" + "        x = 1\n" * 60, "cli.planted.C.f"),
    ],
)
def test_what_is_planted_too_long_is_found(module: str, source: str, place: str) -> None:
    assert too_long(source, module).keys() == {place}


def test_what_is_just_short_enough_is_left() -> None:
    assert too_long("def f():\n" + "    x = 1\n" * 39, "workers.planted") == {}
    assert too_long("def f():\n" + "    x = 1\n" * 59, "cli.planted") == {}


if __name__ == "__main__":
    for path in sorted(modules(), key=Path.as_posix):
        for place, length in too_long(path.read_text(), name_of(path)).items():
            print(f"{length:>5} {place}")  # noqa: T201
