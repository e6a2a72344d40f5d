"""axe-core in the browser of tests: what it calls serious on a page."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from importlib.util import find_spec
from typing import TypeVar

import pytest

from tests.web.browser import Page

T = TypeVar("T", bound=Callable[..., object])


def needed(test: T) -> T:
    """Mark a test that needs it."""
    there = find_spec("axe_playwright_python") is not None
    marked: T = pytest.mark.long(pytest.mark.skipif(not there, reason="axe-playwright-python is not installed")(test))
    return marked


#: What it found of each impact that people cannot do with, and where.
RUN = """axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations
  .filter(({ impact }) => ["serious", "critical"].includes(impact))
  .flatMap(({ id, nodes }) => nodes.map((node) => `${id}: ${node.html.slice(0, 200)}`)))"""
LOOKS = ((1280, False), (390, True))


async def examine(page: Page, name: str) -> list[str]:
    """What axe-core calls serious on this page, on a screen in the light, and on a phone in the dark."""
    script = files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")
    await page.evaluate(f"{script}; 0")
    found = []
    for width, dark in LOOKS:
        await page.look(width=width, dark=dark)
        found += [f"{name}, {width}{', dark' if dark else ''}: {each}" for each in await page.evaluate(RUN)]
    await page.look(width=1280)
    return found
