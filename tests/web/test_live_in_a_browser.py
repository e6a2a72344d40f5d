"""A page that stays up to date in a real Chromium: it says when the connection is gone, and when it is back."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from desk.actors import Actor
from desk.verdicts import Decision, judge
from devstack.ports import bind
from models.people import Role
from models.verdicts import Verdict
from tests.web import browser
from tests.web.browser import Page
from tests.web.serving import serving
from tests.web.shop import AUTH, settings, stock
from tests.web.test_desk_in_a_browser import base, batch, sign_in
from tests.web.test_gallery_in_a_browser import CONTRAST, look
from web.app import build
from web.live import Live
from workers.images.storage import Storage

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)

__all__ = ["base", "batch"]

SHOTS = os.environ.get("TEST_SHOTS")
SAID = "document.getElementById('live-said').innerText"


def test_a_page_says_when_it_is_stale_and_when_it_is_not(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen = settings(database, tmp_path)
    spring = stock(database, Storage(chosen.storage), succeeded=1)
    with bind(None) as listener:
        port = listener.getsockname()[1]
    shots = Path(SHOTS or tmp_path)

    async def work(page: Page) -> None:
        await page.look(width=1280, height=700)
        # What is not there is an error of the network, which the page says itself
        page.expect("Failed to load resource")
        with serving(build(chosen), bind(port)):
            await page.open(f"http://127.0.0.1:{port}/batches/{spring}", AUTH)
            await page.until(f"{SAID} === 'Up to date'")
            database.sql("UPDATE batches SET queued = 0, failed = 2 WHERE id = :id", id=spring)
            await page.until("document.querySelector('.summary').innerText.includes('need you')")
            await page.until("document.documentElement.dataset.refreshed")
            await page.screenshot(shots / "live-desktop.png", whole=False)
        await page.until(f"{SAID}.includes('connection is gone')")
        assert (await page.evaluate(CONTRAST))[0] >= 4.5
        for width, dark in ((1280, False), (390, True)):
            await page.look(width=width, height=700, dark=dark)
            await page.screenshot(shots / f"live-gone-{width}.png", whole=False)
        # Nobody gets a stream: the page asks by itself, and says so
        monkeypatch.setattr(Live, "_has_room", lambda *_: False)
        with serving(build(chosen), bind(port)):
            await page.until(f"{SAID}.includes('every 10 seconds')")
            assert await page.evaluate("!document.getElementById('live-said').classList.contains('is-lost')")

    look(work)


def test_a_server_that_hangs_is_asked_once_at_a_time(base: str, database: Database, batch: int) -> None:
    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}")
        await page.until(f"{SAID} === 'Up to date'")
        await page.evaluate(
            "window.told = 0; document.addEventListener('recast:changed', () => { told += 1; }); window.asked = [];"
            " window.fetch = (_, how) => new Promise((_, fail) => { asked.push([fail, how.signal]); })"
        )
        for times in (1, 2, 3):
            database.sql("UPDATE batches SET queued = queued + 1 WHERE id = :id", id=batch)
            await page.until(f"told >= {times}")
        assert await page.evaluate("asked.length === 1 && asked[0][1] instanceof AbortSignal")
        await page.evaluate("asked[0][0](new Error('hung'))")
        await page.until(f"{SAID}.includes('connection is gone')")
        await page.until("asked.length === 2")

    look(work)


def test_a_picture_that_another_person_judges_is_told_and_counted(
    base: str, database: Database, batch: int, tmp_path: Path
) -> None:
    shots = Path(SHOTS or tmp_path)
    (first,) = database.sql("SELECT id FROM results WHERE job_id = 'job-00000'")

    async def work(page: Page) -> None:
        await page.look(width=1280)
        await sign_in(page, base, f"/batches/{batch}/review?job=job-00000")
        await page.until("document.querySelector('.judge')")
        ben = Actor("Ben", Role.REVIEWER)
        await page.until("document.documentElement.dataset.listens === 'yes'")
        decision = Decision(Verdict.NEEDS_WORK, ["hair"])
        database.run(partial(judge, based_on=0, known_reasons=["hair"]), ben, first.id, decision)
        await page.until("document.getElementById('news').innerText.includes('has changed meanwhile')")
        await page.until("document.querySelector('[data-count=needs_work]').innerText === '1'")
        await page.screenshot(shots / "loupe-news.png", whole=False)
        await page.evaluate("document.querySelector('#news a').click()")
        await page.until("document.querySelector('.bar-top .is-needs_work')")
        await page.until("document.getElementById('news').innerText === ''")

    look(work)
