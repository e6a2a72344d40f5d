"""The HTTP library stands behind one seam: few modules import it, and all others ask those."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LIBRARIES = frozenset({"httpx", "httpcore", "httpx_aiohttp", "httpx2"})

SEAM = {
    "providers/http.py": {"httpx"},
    "workers/http/transport.py": {"httpx_aiohttp"},
    "tests/http.py": {"httpx"},
}


def libraries(source: str) -> set[str]:
    """The HTTP libraries that `source` imports, wherever in it."""
    if not any(name in source for name in LIBRARIES):
        return set()  # to parse all of our code takes seconds
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return {name.partition(".")[0] for name in found} & LIBRARIES


def modules() -> Iterator[Path]:
    for top in ROOT.iterdir():
        if top.is_dir() and not top.name.startswith(".") and top.name != "build":
            yield from top.rglob("*.py")


def test_only_the_seam_imports_the_library() -> None:
    found = {str(path.relative_to(ROOT)): libraries(path.read_text()) for path in modules()}
    assert {path: names for path, names in found.items() if names} == SEAM


@pytest.mark.parametrize(
    "source", ["import httpx", "import json, httpx as web", "def late():\n    from httpx._client import Client"]
)
def test_a_planted_import_is_found(source: str) -> None:
    assert libraries(source) == {"httpx"}
