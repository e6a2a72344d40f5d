"""The words of pages and programs: no page, message, help text or docstring uses a retired word."""

from __future__ import annotations

import ast
import re
import tokenize
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest

from tests.unit.test_glossary import retired_in
from tests.unit.test_layers import ROOT, modules

PAGES = tuple(sorted((ROOT / "web").glob("templates/*.html")))
#: Released migrations are not changed any more.
SOURCES = tuple(sorted(path for path in modules() if "versions" not in path.parts))

#: SQL and names in code keep the names of tables, columns and metrics.
_CODE = re.compile(r"`[^`]*`|\b(?:SELECT|INSERT|UPDATE|WITH)\b.*", re.DOTALL)
_MARKUP = re.compile(r"<[^>]*>|{%.*?%}|{{.*?}}", re.DOTALL)


def prose_of(source: str) -> Iterator[tuple[int, str]]:
    """The texts of more than one word in a module, and its comments, each with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.lineno, _CODE.sub(" ", node.value)
    for token in tokenize.generate_tokens(StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], _CODE.sub(" ", token.string)


def place_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", SOURCES, ids=place_of)
def test_modules_use_no_retired_word(path: Path) -> None:
    found = [(line, word) for line, text in prose_of(path.read_text()) for word in retired_in(text)]
    assert found == []


@pytest.mark.parametrize("path", PAGES, ids=place_of)
def test_pages_use_no_retired_word(path: Path) -> None:
    assert retired_in(_MARKUP.sub(" ", path.read_text())) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('raise ValueError(f"{x} is no price")', ["is no "]),
        ('"""The gate closes."""', ["gate"]),
        ("x = 1  # an estimate of it", ["estimate"]),
        ('x = "recast_gate_open"', []),
        ('x = "SELECT value FROM tallies"', []),
    ],
)
def test_a_retired_word_in_a_module_is_noticed(source: str, found: list[str]) -> None:
    assert [word for _, text in prose_of(source) for word in retired_in(text)] == found
