"""The help of every command: its sections, its examples, `-h`, the version, and lines that fit a terminal."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import version
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app
from cli.sections import EXAMPLES, REST, SECTIONS, sectioned
from cli.tree import COMMANDS
from tests.unit.cli.commands import every

COLUMNS = 80  # of a terminal
SHOWN = [entry.name for entry in COMMANDS if not entry.hidden]
EVERY = dict(every())


def said(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), env={"COLUMNS": str(COLUMNS)})
    assert result.exit_code == 0
    return result.output


@pytest.mark.parametrize("path", EVERY, ids=" ".join)
def test_help_fits_a_terminal_and_has_a_short_form(path: tuple[str, ...]) -> None:
    text = said(*path, "--help")
    assert [line for line in text.splitlines() if len(line) > COLUMNS] == []
    assert said(*path, "-h") == text
    # No sentence is cut, and no word of the usage stands in two pairs of brackets.
    assert [line for line in text.splitlines()[1:] if line.endswith("...")] == []
    assert re.findall(r"\[\[|\.\.\.\.", text) == []


def test_each_command_is_listed_once_in_a_section_of_its_own() -> None:
    placed = [name for section in SECTIONS.values() for name in section]
    assert sorted(placed) == sorted(SHOWN)
    text = said("--help")
    listed = [line.split()[0] for line in text.splitlines() if re.match(r"  [a-z]", line)]
    assert [name for name in listed if name in SHOWN] == placed
    assert [title for title in SECTIONS if f"\n{title}:\n" not in text] == []


def test_a_command_without_a_section_stands_at_the_end() -> None:
    assert sectioned(["new", "run"]) == [(next(iter(SECTIONS)), ["run"]), (REST, ["new"])]


@pytest.mark.parametrize("path", EXAMPLES, ids=" ".join)
def test_examples_stand_in_the_help_and_can_be_typed(path: tuple[str, ...]) -> None:
    text = said(*path, "--help")
    for example in EXAMPLES[path]:
        assert f"  recast {example}\n" in text
        words = shlex.split(example)
        assert tuple(words[: len(path)]) == path
        command: Any = EVERY[path]
        with command.make_context(path[-1], words[len(path) :], parent=typer.Context(EVERY[()])) as context:
            assert context.params


def test_the_version_is_that_of_the_package() -> None:
    assert said("--version") == f"recast {version('recast-server')}\n"


#: Commands that have nothing to say to programs, each with its reason.
WITHOUT_JSON = {
    **dict.fromkeys(("beat", "flower", "sandbox", "up", "web", "worker"), "they serve until they are stopped"),
    "logs": "it prints lines as services have written them",
    "mcp": "what it reads and writes is JSON",
}


def test_every_command_has_an_answer_for_programs() -> None:
    commands = {" ".join(path): command for path, command in every() if not hasattr(command, "commands")}
    without = {name for name, command in commands.items() if not any("--json" in each.opts for each in command.params)}
    assert without == set(WITHOUT_JSON)
