"""The project's documents as data: their text, their tables, and the paths and definitions they name."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.unit.test_layers import ROOT

#: Every document that people write; the paths are relative to the root.
DOCUMENTS = tuple(
    sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))
)

_REFERENCE = re.compile(r"`([\w./-]+?)(?:::(\w+))?`")
_FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def text_of(document: str) -> str:
    """The document's text."""
    return (ROOT / document).read_text(encoding="utf-8")


def prose_of(document: str) -> str:
    """The document without code and quotations."""
    return re.sub(r"`[^`]*`|“[^”]*”", " ", _FENCED.sub("", text_of(document)))


def code_of(document: str) -> Iterator[str]:
    """The document's code: each line of its blocks, and each span."""
    text = text_of(document)
    for block in _FENCED.findall(text):
        yield from block.splitlines()
    yield from re.findall(r"`([^`]+)`", _FENCED.sub("", text))


def tables_of(document: str, section: str | None = None) -> Iterator[list[str]]:
    """The cells of each table row, without headers, of the document or of its section with this heading."""
    text = text_of(document)
    if section is not None:
        text = re.split(rf"^## {re.escape(section)}$", text, maxsplit=1, flags=re.MULTILINE)[1].partition("\n## ")[0]
    lines = text.splitlines()
    for line, after in zip(lines, [*lines[1:], ""], strict=True):
        if line.startswith("| ") and not after.startswith("|--"):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def references(text: str, folders: frozenset[str]) -> list[tuple[str, str | None]]:
    """The paths in these folders that `text` names in code, each with the definition named there, if any."""
    found = [(match[1], match[2]) for match in _REFERENCE.finditer(text)]
    return [(path, name) for path, name in found if "/" in path and path.partition("/")[0] in folders]


def is_there(path: str, name: str | None) -> bool:
    """Whether the path exists and, where a name is given, its module defines it."""
    if not (ROOT / path).exists():
        return False
    return name is None or name in _defined(ROOT / path)


@cache
def _defined(module: Path) -> frozenset[str]:
    """What a module defines at its top level."""
    names: set[str] = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names.update(target.id for target in node.targets if isinstance(target, ast.Name))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return frozenset(names)
