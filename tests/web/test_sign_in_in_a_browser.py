"""A link that signs in, in a real Chromium: the key leaves the address at once and is in no page afterwards."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cli.browser import signing_in
from desk.local_links import FRAGMENT
from devstack.ports import bind
from tests.web import browser
from tests.web.browser import Page
from tests.web.serving import serving
from tests.web.shop import settings, stock
from tests.web.test_gallery_in_a_browser import look
from web.app import build
from web.peers import behind
from workers.config.settings import Settings
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)

#: Where screenshots are kept, for people who want to look at them.
SHOTS = os.environ.get("TEST_SHOTS")


@pytest.fixture
def here(database: Database, tmp_path: Path) -> Iterator[tuple[Settings, str]]:
    """The settings of a desk without people and passwords, and where it is served: below a path."""
    listener = bind(None)
    base = f"http://127.0.0.1:{listener.getsockname()[1]}/recast"
    chosen = settings(database, tmp_path, web_auth=None, public_url=base)
    stock(database, Storage(chosen.storage), succeeded=1)
    with serving(behind(build(chosen), ()), listener):
        yield chosen, base


def test_a_link_signs_in_and_its_key_leaves_the_address(here: tuple[Settings, str]) -> None:
    chosen, base = here
    link = signing_in(chosen, base, "batches") or ""

    async def work(page: Page) -> None:
        await page.call("Page.navigate", url=link)
        await page.until("location.pathname === '/recast/batches' && document.readyState === 'complete'")
        assert await page.evaluate("location.href") == f"{base}/batches"
        # A link to another page, while signed in: its key is not carried along.
        await page.call("Page.navigate", url=signing_in(chosen, base, "audit") or "")
        await page.until("location.pathname === '/recast/audit' && document.readyState === 'complete'")
        assert FRAGMENT not in await page.evaluate("location.href")
        await page.evaluate("document.querySelector('form.who').submit()")
        await page.until("location.pathname === '/recast/sign-in' && document.readyState === 'complete'")
        for name, width, dark in (("desktop", 1280, False), ("phone", 390, False), ("dark", 1280, True)):
            await page.look(width=width, dark=dark)
            assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
            if SHOTS:
                await page.screenshot(Path(SHOTS) / f"sign-in-{name}.png")
        page.expect("422")
        await page.call("Page.navigate", url="about:blank")
        await page.call("Page.navigate", url=link)
        await page.until("document.querySelector('[role=alert]') !== null")
        assert await page.evaluate("location.href") == f"{base}/sign-in", "it was used, and is not shown"
        if SHOTS:
            await page.screenshot(Path(SHOTS) / "sign-in-used.png")

    look(work)
