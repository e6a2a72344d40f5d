"""Every page before axe-core, in a real Chromium: nothing that it calls serious."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from desk import guests
from desk.actors import Actor
from models.people import Role
from tests.web import browser
from tests.web.axe import examine, needed
from tests.web.browser import Page
from tests.web.test_desk_in_a_browser import base, batch, shown, sign_in
from tests.web.test_gallery_in_a_browser import look

if TYPE_CHECKING:
    from tests.integration.database import Database

pytest_plugins = ["tests.integration.database"]
pytestmark = pytest.mark.skipif(
    browser.found() is None,
    reason="no Chromium on PATH: install one (Debian: apt-get install chromium), or set CHROMIUM",
)
__all__ = ["base", "batch"]


@needed
def test_no_page_has_a_serious_fault(base: str, database: Database, batch: int) -> None:
    name = database.one("SELECT name FROM batches WHERE id = :id", id=batch)
    added = database.run(guests.add, Actor("root", Role.OPERATOR, "command"), name, Role.REVIEWER, 3600.0)
    jobs = {row.state: row.id for row in database.sql("SELECT id, state FROM jobs ORDER BY id")}
    found: list[str] = []

    async def work(page: Page) -> None:
        await page.look(width=1280)
        for where in ("/sign-in", f"/guest/{added.token}"):
            await page.open(base + where)
            found.extend(await examine(page, where))
        # A fault that is planted is found
        await page.evaluate("document.querySelector('main').append(new Image(), document.createElement('input'))")
        planted = " ".join(await examine(page, "planted"))
        assert all(each in planted for each in ("image-alt", "label")), planted
        await sign_in(page, base, "/batches")
        page.expect("400", "404")  # of what the addresses ask for and is not there
        for where in (
            "/batches", f"/batches/{batch}", f"/batches/{batch}?did=approve&number=2",
            f"/batches/{batch}?density=medium&verdict=unreviewed&key=row", f"/batches/{batch}?density=small&sort=worst",
            f"/batches/{batch}?density=large&state=nonsense", f"/jobs/{jobs['succeeded']}",
            f"/jobs/{jobs['failed']}", f"/jobs/{jobs['held']}", "/jobs/none",
        ):  # fmt: skip
            await page.call("Page.navigate", url=base + where)
            await page.until(f"location.href === {json.dumps(base + where)} && document.readyState === 'complete'"
                             " || !location.search && document.readyState === 'complete'")  # fmt: skip
            found.extend(await examine(page, where))
        await page.open(f"{base}/batches/{batch}?verdict=unreviewed")
        await page.evaluate("document.querySelector('.help-button').click()")
        found.extend(await examine(page, "keys of the grid"))
        await page.evaluate("document.querySelector('#grid-keys').close()")
        await page.evaluate("document.querySelector('[name=all]').click()")
        await page.evaluate("document.querySelector('.reasoned summary').click()")
        found.extend(await examine(page, "a selection with its reasons"))
        await page.evaluate("document.querySelector('.picks > .approve').click()")
        await page.until("document.querySelector('[name=sure]')")
        found.extend(await examine(page, "counted first"))
        await page.call("Page.navigate", url=f"{base}/batches/{batch}/review")
        await shown(page, "job-00000")
        found.extend(await examine(page, "review"))
        await page.press("s")
        await page.press("i")
        await page.until("document.querySelector('.facts-drawer').innerText.includes('Attempts')")
        found.extend(await examine(page, "side by side, with facts"))
        await page.press("w")
        await page.until("document.querySelector('.reasons.is-open')")
        found.extend(await examine(page, "review with its reasons"))
        await page.press("Escape")
        await page.press("?")
        await page.until("document.querySelector('#keys').open")
        found.extend(await examine(page, "keys"))
        database.sql("UPDATE jobs SET batch_id = 0, key = NULL WHERE batch_id = :batch", batch=batch)
        await page.open(f"{base}/singles")
        await page.until("document.documentElement.dataset.selects === 'yes'")
        await page.evaluate("document.querySelector('.pick input').click()")
        found.extend(await examine(page, "single jobs, one of them ticked"))

    look(work)
    assert found == []
