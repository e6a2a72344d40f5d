"""The words of the command line: plain ones, in the help of every command and in every message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.unit.cli.commands import every
from tests.unit.test_glossary import retired_in
from tests.unit.test_layers import ROOT

#: Turns of phrase that an American engineer would not use here.
IDIOMS = re.compile(
    r"\b(?:is no (?!such\b|longer\b|more\b)|(?:fore)?tells?|told|(?:go|goes|going) on|lets? \w+ go|of old|somebody|"
    r"whoever|nobody|looks? at|at work|in hand|made of|so many|c[ao]mes? in|as they ended|would be refused|most money|"
    r"a word of|wait(?:s|ing)? for a person|may be repeated|on (?:its|their) way|takes? (?:it|them|jobs?))\b",
    re.IGNORECASE,
)  # fmt: skip
#: Aliases, which no help lists.
NAMES = frozenset({"reprioritise"})
MODULES = (*sorted((ROOT / "cli").glob("*.py")), ROOT / "reports" / "text.py")


COMMANDS = dict(every())


def strange(text: str) -> list[str]:
    """The words in `text` that should not be there."""
    return [] if text in NAMES else retired_in(text) + IDIOMS.findall(text)


def texts(source: str) -> Iterator[str]:
    """Every string of a module, docstrings included, and every comment."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
    yield from re.findall(r"(?:^|  )#:? (.*)", source, re.MULTILINE)


@pytest.mark.parametrize("path", [path for path, command in COMMANDS.items() if not command.hidden], ids=" ".join)
def test_the_help_of_a_command_is_plain(path: tuple[str, ...]) -> None:
    result = CliRunner().invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    assert strange(re.sub(r"\s+", " ", result.output)) == []


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_argument_and_option_has_help(path: tuple[str, ...]) -> None:
    command = COMMANDS[path]
    assert command.help
    silent = [each.name for each in command.params if not each.hidden and not each.help]
    assert silent == []


@pytest.mark.parametrize("module", MODULES, ids=lambda path: path.stem)
def test_the_messages_and_comments_of_a_module_are_plain(module: Any) -> None:
    found = {text: words for text in texts(module.read_text(encoding="utf-8")) if (words := strange(text))}
    assert found == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("'.exe' is no catalog", True),
        ("there is no such job", False),
        ("Tell how batches stand", True),
        ("Came in longer ago", True),
        ("At most so many.", True),
        ("the gate is closed", True),
        ("reprioritise", False),
        ("cannot go on: x", True),
        ("stopped: provider asked to wait until 12:04 UTC", False),
    ],
)
def test_a_strange_word_is_noticed(text: str, found: bool) -> None:
    assert bool(strange(text)) is found


@pytest.mark.parametrize(
    ("old", "new"), [(("reprioritise",), ("set-priority",)), (("accounts", "open"), ("accounts", "resume")),
                     (("accounts", "close"), ("accounts", "pause")),
                     (("accounts", "stop"), ("accounts", "pause")), (("accounts", "start"), ("accounts", "resume")),
                     (("webhooks", "pause"), ("webhooks", "off")), (("webhooks", "resume"), ("webhooks", "on"))],
)  # fmt: skip
def test_old_names_work_and_are_not_listed(old: tuple[str, ...], new: tuple[str, ...]) -> None:
    assert COMMANDS[old].hidden
    assert not COMMANDS[new].hidden
    assert [each.opts for each in COMMANDS[old].params] == [each.opts for each in COMMANDS[new].params]
