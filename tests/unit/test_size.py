"""Modules and functions are short enough to be read at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.tree import COMMANDS
from tests.unit.test_layers import modules, name_of

MODULE_LINES = 350
FUNCTION_LINES = 40
#: A command's parameters and their help are most of it.
COMMAND_LINES = 60
#: The commands of the table; those of a group are decorated.
LISTED = frozenset(entry.place.replace(":", ".") for entry in COMMANDS)


def functions(tree: ast.AST, place: str) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for node in ast.iter_child_nodes(tree):
        inner = (
            f"{place}.{node.name}" if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) else place
        )
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield inner, node
        yield from functions(node, inner)


def is_command(place: str, node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether the function is a command, or what a group of commands does: not one beside, around or within it."""
    called = (each.func for each in node.decorator_list if isinstance(each, ast.Call))
    decorated = any(isinstance(each, ast.Attribute) and each.attr in ("command", "callback") for each in called)
    return place in LISTED or (place.startswith("cli.") and decorated)


def too_long(source: str, module: str) -> dict[str, int]:
    """What is longer than allowed, in lines. A function's decorators are not counted, its docstring is."""
    lines = source.count("\n")
    found = {module: lines} if lines > MODULE_LINES else {}
    for place, node in functions(ast.parse(source), module):
        allowed = COMMAND_LINES if is_command(place, node) else FUNCTION_LINES
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
        ("cli.planted", "class C:\n    async def f(self):\n" + "        x = 1\n" * 40, "cli.planted.C.f"),
        ("cli.run", "def run():\n" + "    x = 1\n" * 60, "cli.run.run"),
        ("cli.run", "def run():\n    def inner():\n" + "        x = 1\n" * 40, "cli.run.run.inner"),
        ("cli.planted", "@planted.command()\ndef f():\n" + "    x = 1\n" * 60, "cli.planted.f"),
        ("workers.planted", "@planted.command()\ndef f():\n" + "    x = 1\n" * 40, "workers.planted.f"),
    ],
)
def test_what_is_planted_too_long_is_found(module: str, source: str, place: str) -> None:
    assert too_long(source, module).keys() == {place}


def test_what_is_just_short_enough_is_left() -> None:
    assert too_long("def f():\n" + "    x = 1\n" * 39, "workers.planted") == {}
    assert too_long("def f():\n" + "    x = 1\n" * 39, "cli.planted") == {}


@pytest.mark.parametrize(
    ("module", "head"),
    [
        ("cli.run", "def run():\n"),
        ("cli.planted", '@planted.command("planted")\n@recorded("planted")\ndef f():\n'),
        ("cli.planted", "@planted.callback(invoke_without_command=True)\ndef f():\n"),
    ],
)
def test_commands_may_be_longer(module: str, head: str) -> None:
    assert too_long(head + "    x = 1\n" * 59, module) == {}


if __name__ == "__main__":
    for path in sorted(modules(), key=Path.as_posix):
        for place, length in too_long(path.read_text(), name_of(path)).items():
            print(f"{length:>5} {place}")  # noqa: T201
