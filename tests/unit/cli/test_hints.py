"""Hints: each is written by one mechanism, is a command that exists, and says again what the command line said."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any, get_args

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st

from cli.hints import CommandLine
from recast import hints
from recast.hints import hint
from tests.unit.cli.commands import whole
from tests.unit.test_layers import ROOMS, ROOT

COMMAND: Any = whole()
FOLDERS = sorted({room.partition(".")[0] for room in ROOMS} - {"benchmarks", "migrations"})
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def commands(command: Any = COMMAND, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Every command by its words, groups too."""
    for name, each in getattr(command, "commands", {}).items():
        yield " ".join((*path, name))
        yield from commands(each, (*path, name))


NAMES = sorted(commands(), key=len, reverse=True)
_NAMED = re.compile(rf"\brecast (?:{'|'.join(NAMES)})\b")


def parsed(line: str) -> tuple[str, Mapping[str, Any]]:
    """The command and the values that a shell and our parser make of a line."""
    program, *words = shlex.split(line)
    assert program == hints.PROGRAM, line
    command, path, parent = COMMAND, [], None
    while words and words[0] in getattr(command, "commands", {}):
        path.append(words.pop(0))
        command = command.commands[path[-1]]
        parent = typer.Context(command, parent=parent)
    context = command.make_context(path[-1], words)
    return " ".join(path), context.params


def placeholder(command: str, option: str) -> Any:
    """A value that an option takes."""
    _, found = "", COMMAND
    for word in command.split():
        found = found.commands[word]
    parameter = next(each for each in found.params if f"--{option.replace('_', '-')}" in each.opts)
    if parameter.is_flag:
        return True
    annotation = next(iter(get_args(parameter.type_descriptor.annotation)), parameter.type_descriptor.annotation)
    return next(iter(annotation)).value if isinstance(annotation, type) and issubclass(annotation, Enum) else "7"


def calls() -> Iterator[tuple[str, str, list[str], dict[str, Any]]]:
    """Every call of `hint` in the code: its place, its command, and values that stand for what is not constant."""
    # To parse all of our code takes seconds, in each process that collects the tests.
    sources = ((path, path.read_text(encoding="utf-8")) for path in MODULES)
    for path, source in [each for each in sources if "hint(" in each[1]]:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "hint":
                command = ast.literal_eval(node.args[0])
                words = ["7" for _ in node.args[1:]]
                options = {str(each.arg): placeholder(command, str(each.arg)) for each in node.keywords if each.arg}
                yield f"{path.relative_to(ROOT)}:{node.lineno}", command, words, options


CALLS = list(calls())


@pytest.fixture
def in_sandbox(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(hints.IN_SANDBOX, "1")


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(hints.IN_SANDBOX, raising=False)


def test_the_code_gives_hints() -> None:
    assert {"resolve", "resume", "status", "up", "accounts resume", "db upgrade"} <= {call[1] for call in CALLS}


@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_each_hint_is_a_command_with_such_options(call: tuple[str, str, list[str], dict[str, Any]]) -> None:
    _, command, words, options = call
    path, values = parsed(hint(command, *words, **options).strip("`"))
    assert path == command
    assert {"yes"}.isdisjoint(options)
    assert not values.get("sandbox") or options.get("sandbox")


@pytest.mark.usefixtures("outside", "in_sandbox")
@pytest.mark.parametrize("call", CALLS, ids=lambda call: f"{call[0]} {call[1]}")
def test_each_hint_of_the_sandbox_stays_in_it(call: tuple[str, str, list[str], dict[str, Any]]) -> None:
    _, command, words, options = call
    path, values = parsed(hint(command, *words, **options).strip("`"))
    assert path == ("up" if command in hints.SERVICES else command)
    assert values.get("sandbox", True)


def helps(tree: ast.AST) -> set[int]:
    """Texts of a module that are help or documentation, which belong to no run."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr):
                found.add(id(first.value))
        if isinstance(node, ast.Call):
            found |= {id(part) for each in node.keywords if each.arg == "help" for part in ast.walk(each.value)}
    return found


@pytest.mark.heavy
@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_message_names_a_command_otherwise(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    documented = helps(tree)
    found = [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented
        if _NAMED.search(node.value)
    ]
    assert found == []


@pytest.mark.parametrize("path", sorted((ROOT / "web" / "templates").glob("*.html")), ids=lambda path: path.name)
def test_no_page_names_a_command_otherwise(path: Path) -> None:
    page = path.read_text(encoding="utf-8")
    assert not _NAMED.search(page)
    for command in re.findall(r'typed\("([^"]+)"', page):
        assert command in NAMES


WORDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@given(WORDS, st.lists(WORDS, max_size=3))
def test_any_name_is_quoted_for_a_shell(name: str, words: list[str]) -> None:
    line = hints.line("cancel", words, {"--batch": name, "--label": None, "--all": False})
    path, values = parsed(line)
    assert (path, values["batch"], values["words"] or []) == ("cancel", name, words)


GIVEN = st.fixed_dictionaries(
    {"catalog": WORDS},
    optional={
        "source": st.lists(WORDS, min_size=1, max_size=3), "name": WORDS, "account": WORDS, "provider": WORDS,
        "max_cost": st.sampled_from(["0.10", "12 USD", "-1"]), "max_in_flight": st.integers(-5, 500), "label": WORDS,
        "priority": st.integers(-100, 100), "deadline": st.sampled_from(["2h", "2999-01-01"]),
        "keep_days": st.just("30d"), "only": st.lists(st.sampled_from(["new", "changed", "failed"]), min_size=1),
        "require_consent": st.just(True), "retry_rejected": st.just(True), "cross": st.just(True),
        "sandbox": st.just(True), "no_wait": st.just(True), "as_json": st.just(True), "moved": st.just(True),
        "same_picture": st.just(True), "errors": st.just("wrong.csv"), "yes": st.just(True),
    },
)  # fmt: skip
SPELLED = {"keep_days": "--keep", "as_json": "--json"}


def context_of(line: str) -> typer.Context:
    words = shlex.split(line)[1:]
    parent = typer.Context(COMMAND, info_name="recast")
    made: typer.Context = COMMAND.commands[words[0]].make_context(words[0], words[1:], parent=parent)
    return made


@pytest.mark.heavy
@given(GIVEN)
def test_a_command_that_is_written_again_means_the_same(given: dict[str, Any]) -> None:
    options = {SPELLED.get(name, f"--{name.replace('_', '-')}"): value for name, value in given.items()}
    catalog = options.pop("--catalog")
    context = context_of(hints.line("run", [catalog], options))
    again = CommandLine(context).again()[1:-1]
    repeated = context_of(again).params
    assert {**repeated, "yes": None} == {**context.params, "yes": None}
    assert repeated["yes"] is False
    changed = context_of(CommandLine(context).again(max_cost="7", no_wait=False)[1:-1]).params
    assert changed == {**repeated, "max_cost": "7", "no_wait": False}
