"""Selecting many pictures of the grid in a real Chromium: by click and shift, all of a filter, undone by Ctrl+Z."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.web import browser
from tests.web.browser import Page
from tests.web.test_desk_in_a_browser import SMALL, base, batch, sign_in
from tests.web.test_gallery_in_a_browser import CONTRAST, UNNAMED, look
from web import selections

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)
__all__ = ["base", "batch"]

SHOTS = os.environ.get("TEST_SHOTS")
CTRL, SHIFT = 2, 8  # as the browser's protocol counts keys that are held


@pytest.fixture(autouse=True)
def _undo_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a crowded machine, ten seconds are not enough to look at a page before it is undone."""
    monkeypatch.setattr(selections, "UNDO_SECONDS", 300)


async def click(page: Page, selector: str, number: int = 0, *, held: int = 0) -> None:
    """Click the middle of an element with the mouse."""
    place = f"""(() => {{ const e = document.querySelectorAll({selector!r})[{number}];
      e.scrollIntoView({{ block: "center" }}); const b = e.getBoundingClientRect();
      return [b.x + b.width / 2, b.y + b.height / 2]; }})()"""
    x, y = await page.at_rest(place)
    await page.click(x, y, held=held)


async def undo(page: Page) -> None:
    for kind in ("rawKeyDown", "keyUp"):
        await page.call(
            "Input.dispatchKeyEvent", type=kind, key="z", code="KeyZ", windowsVirtualKeyCode=90, modifiers=CTRL
        )


async def told(page: Page, words: str) -> None:
    await page.until(f"document.querySelector('.outcome')?.innerText.includes({words!r})")


def test_a_range_and_a_filter_are_decided_and_undone(base: str, database: Database, batch: int, tmp_path: Path) -> None:
    shots = Path(SHOTS or tmp_path)

    async def seen(page: Page, name: str) -> None:
        await page.screenshot(shots / f"{name}.png", whole=False)
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
        contrast, whose = await page.evaluate(CONTRAST)
        assert contrast >= 4.5, (whose, name)
        assert await page.evaluate(UNNAMED) == [], name
        assert await page.evaluate(SMALL) == [], name

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}?verdict=unreviewed")
        await page.until("document.documentElement.dataset.selects === 'yes'")
        await click(page, ".pick input", 1)
        await click(page, ".pick input", 4, held=SHIFT)
        assert await page.evaluate("document.querySelector('[data-picked]').innerText") == "4 selected"
        await click(page, ".pair", 6, held=SHIFT)
        assert await page.evaluate("document.querySelectorAll('.is-picked').length") == 6
        await seen(page, "selected-desktop-light")
        await click(page, ".reasoned summary")
        await click(page, ".reasoned [name=reason]", 2)
        await seen(page, "selected-reasons")
        await click(page, ".reasoned [value=needs_work]")
        await told(page, "6 pictures")
        assert database.one("SELECT count(*) FROM reviews WHERE verdict = 'needs_work'") == 6
        await undo(page)
        await told(page, "taken back")
        assert database.one("SELECT count(*) FROM reviews WHERE verdict <> 'unreviewed'") == 0
        # All of the filter is more than a page: counted first
        await click(page, "[name=all]")
        await click(page, ".picks > .approve")
        await page.until("document.querySelector('[name=sure]')")
        await seen(page, "selected-counted")
        await page.press("Enter")
        await told(page, "40 pictures")
        await page.look(width=390, height=844, dark=True)
        await seen(page, "selected-phone-dark")
        assert database.one("SELECT count(*) FROM reviews WHERE verdict = 'approved'") == 40
        await undo(page)
        await told(page, "taken back")
        assert database.one("SELECT count(*) FROM reviews WHERE verdict = 'approved'") == 0

    look(work)


def test_what_is_ticked_goes_to_the_page_that_says_what_it_costs(base: str, batch: int, tmp_path: Path) -> None:
    shots = Path(SHOTS or tmp_path)

    async def work(page: Page) -> None:
        for width, dark in ((1280, False), (390, True)):
            await page.look(width=width, height=844, dark=dark)
            if not dark:
                await sign_in(page, base, f"/batches/{batch}")
            else:
                await page.open(f"{base}/batches/{batch}")
            await page.until("document.documentElement.dataset.selects === 'yes'")
            await click(page, ".pick input", 0)
            await click(page, ".pick input", 1)
            await click(page, ".verbs summary")
            await page.until("document.querySelector('.verbs').open")
            await page.screenshot(shots / f"more-{width}.png", whole=False)
            assert await page.evaluate(SMALL) == []
            assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
            await click(page, ".verbs [formaction$=redo]")
            await page.until("document.querySelector('h1')?.innerText.includes('Redo pictures')")
            assert "2 ticked" in await page.evaluate("document.querySelector('main').innerText")

    look(work)


def test_single_jobs_are_ticked_decided_and_taken_back(
    base: str, database: Database, batch: int, tmp_path: Path
) -> None:
    shots = Path(SHOTS or tmp_path)
    database.sql("UPDATE jobs SET batch_id = 0, key = NULL WHERE batch_id = :batch", batch=batch)
    approved = "SELECT count(*) FROM reviews WHERE verdict = 'approved'"

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, "/singles?verdict=unreviewed")
        await page.until("document.documentElement.dataset.selects === 'yes'")
        await click(page, ".pick input", 1)
        await click(page, ".pick input", 4, held=SHIFT)
        assert await page.evaluate("document.querySelector('[data-picked]').innerText") == "4 selected"
        await page.screenshot(shots / "singles-picked-desktop-light.png", whole=False)
        rows = await page.evaluate("document.querySelectorAll('.single').length")
        # By key, where the first row that is left has the focus afterwards
        await page.evaluate("document.querySelector('.single .pair').focus()")
        await page.press("a")
        await told(page, "4 pictures")
        assert database.one(approved) == 4
        assert await page.evaluate("document.querySelectorAll('.single').length") <= rows
        assert await page.evaluate("Boolean(document.activeElement.closest('.single'))")
        await undo(page)
        await told(page, "taken back")
        assert database.one(approved) == 0
        await page.evaluate("document.querySelector('.single .pair').focus()")
        await page.press(" ")
        assert await page.evaluate("document.querySelectorAll('.single.is-picked').length") == 1
        await page.press("Escape")
        await page.look(width=390, height=844, dark=True)
        await click(page, ".pick input", 0)
        for selector in (CONTRAST, UNNAMED, SMALL):
            found = await page.evaluate(selector)
            assert found == [] or found[0] >= 4.5, found
        assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
        await page.screenshot(shots / "singles-picked-phone-dark.png", whole=False)
        await click(page, ".pick input", 0)
        await click(page, "[name=all]")
        await click(page, ".picks > .approve")
        await page.until("document.querySelector('[name=sure]')")
        await page.press("Enter")
        await told(page, "40 pictures")
        assert database.one(approved) == 40
        assert "verdict=unreviewed" in await page.evaluate("location.href")

    look(work)
