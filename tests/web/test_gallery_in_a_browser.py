"""The gallery in a real Chromium: pictures, hostile text, phones, the dark, the keyboard, and staying up to date."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from devstack.ports import bind
from models.states import Reason
from reports.text import REASONS
from tests.web import browser
from tests.web.browser import Page, browsing
from tests.web.serving import serving
from tests.web.shop import AUTH, settings, stock
from web.app import build
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]

PROGRAM = browser.found()
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM"
)

# The lowest contrast of any text on the page with what is painted behind it (WCAG 2.2, 1.4.3), and whose it is.
CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgb = (color) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = color; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  let worst = [99, ""];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".tag")) continue;
    let ground = element;
    while (ground && rgb(getComputedStyle(ground).backgroundColor)[3] < 255) ground = ground.parentElement;
    const pair = [getComputedStyle(element).color, getComputedStyle(ground || document.body).backgroundColor];
    const [a, b] = pair.map(rgb).map(light).sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < worst[0]) worst = [contrast, element.className + ": " + walker.currentNode.data.trim()];
  }
  return worst;
})()"""
UNNAMED = """[...document.querySelectorAll(
  "a, button, input:not([type=hidden]), img:not([alt='']), [role=img], [role=region]")].filter((e) =>
  !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby") || e.alt || e.textContent.trim()
    || (e.labels && e.labels.length))).map((e) => e.outerHTML)"""


@pytest.fixture
def batch(database: Database, tmp_path: Path) -> int:
    return stock(database, Storage(settings(database, tmp_path).storage), succeeded=6)


@pytest.fixture
def url(database: Database, batch: int, tmp_path: Path) -> Iterator[str]:
    """Where the batch's page is served."""
    listener = bind(None)
    with serving(build(settings(database, tmp_path)), listener):
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/batches/{batch}"


def look(work: Callable[[Page], Awaitable[None]]) -> None:
    """Do `work` in a browser that complains of nothing."""

    async def run() -> None:
        assert PROGRAM is not None
        async with browsing(PROGRAM) as page:
            await work(page)
            assert page.complaints == []

    asyncio.run(run())


def test_it_is_shown_as_it_is_meant(url: str, tmp_path: Path) -> None:
    async def work(page: Page) -> None:
        for width, dark in ((1280, False), (1280, True), (360, False), (360, True)):
            await page.look(width=width, dark=dark)
            for where in (url, url.rpartition("/")[0], url.partition("/batches")[0] + "/jobs/job-00006"):
                # Then every picture is there, and no text has become anything else
                await page.open(where, AUTH)
                assert await page.evaluate("[...document.images].filter((image) => !image.naturalWidth).length") == 0
                assert await page.evaluate("typeof window.hacked") == "undefined"
                # and nothing is cut off, too pale to read, or without a name
                assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
                contrast, whose = await page.evaluate(CONTRAST)
                assert contrast >= 4.5, (whose, width, dark)
                assert await page.evaluate(UNNAMED) == []
            if width == 1280:
                await page.open(url, AUTH)
                await page.screenshot(tmp_path / f"{dark}.png")

    look(work)
    corners = [Image.open(tmp_path / f"{dark}.png").convert("L").getpixel((2, 2)) for dark in (False, True)]
    assert corners[0] > 200  # type: ignore[operator]
    assert corners[1] < 60  # type: ignore[operator]


def test_the_keyboard_reaches_everything_and_the_page_stays_up_to_date(
    url: str, database: Database, batch: int
) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await page.open(url, AUTH)
        # The first stop skips what is on every page; each job can be reached and opened
        await page.press("Tab")
        assert await page.evaluate("document.activeElement.className") == "skip"
        reached = set()
        for _ in range(90):
            await page.press("Tab")
            reached.add(await page.evaluate("document.activeElement.getAttribute('href')"))
        assert all(any(f"job-{number:05}" in (href or "") for href in reached) for number in range(13))
        # A job that ends meanwhile is seen, without a person's doing and without a new page
        await page.evaluate("window.mark = 1")
        assert await page.evaluate("document.querySelector('#live').checked")
        database.sql(
            "UPDATE jobs SET state = 'failed', reason = 'lost' WHERE batch_id = :id AND state = 'queued'", id=batch
        )
        database.sql("UPDATE batches SET queued = 0, failed = 2 WHERE id = :id", id=batch)
        await page.evaluate("document.activeElement.blur()")
        await page.until(f"document.body.innerText.includes({json.dumps(REASONS[Reason.LOST])})")
        await page.until("document.querySelector('.summary').innerText.includes('3 need you')")
        assert await page.evaluate("window.mark") == 1

    look(work)
